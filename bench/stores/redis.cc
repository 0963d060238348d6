#include "bench/stores/redis.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

// One program under two names: which it is says the name it is called by.
constexpr const char* kServers[] = {"/usr/bin/redis-server",
                                    "/usr/bin/redis-check-rdb"};
constexpr absl::Duration kStartTimeout = absl::Seconds(10);
constexpr absl::Duration kStartPoll = absl::Milliseconds(10);

struct ReplyFree {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, ReplyFree>;

absl::StatusOr<std::string> FindServer() {
  for (const char* path : kServers) {
    if (access(path, X_OK) == 0) return std::string(path);
  }
  return absl::NotFoundError("no redis-server: tools/packages bench");
}

class Redis : public Store {
 public:
  ~Redis() override {
    if (context_ != nullptr) redisFree(context_);
    if (server_ <= 0) return;
    kill(server_, SIGKILL);
    while (waitpid(server_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  absl::Status Open(const std::string& dir) {
    if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::ErrnoToStatus(errno, dir);
    }
    const std::string socket = dir + "/socket";
    LARDER_RETURN_IF_ERROR(Start(dir, socket));
    return Connect(socket);
  }

  std::string name() const override { return "redis"; }

  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    const Reply reply = Command({"SET", key, bytes});
    if (reply != nullptr && reply->type == REDIS_REPLY_STATUS) {
      return absl::OkStatus();
    }
    return absl::InternalError("redis: SET failed");
  }

  bool Get(absl::string_view key, Use use) override {
    const Reply reply = Command({"GET", key});
    if (reply == nullptr || reply->type != REDIS_REPLY_STRING) return false;
    use({reply->str, reply->len});
    return true;
  }

 private:
  absl::Status Start(const std::string& dir, const std::string& socket) {
    LARDER_ASSIGN_OR_RETURN(const std::string path, FindServer());
    std::vector<std::string> arguments = {"redis-server",
                                          "--port",
                                          "0",
                                          "--unixsocket",
                                          socket,
                                          "--dir",
                                          dir,
                                          "--save",
                                          "",
                                          "--appendonly",
                                          "no",
                                          "--daemonize",
                                          "no",
                                          "--logfile",
                                          dir + "/log"};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    server_ = fork();
    if (server_ < 0) return absl::ErrnoToStatus(errno, "fork");
    if (server_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execv(path.c_str(), argv.data());
      _exit(127);
    }
    return absl::OkStatus();
  }

  absl::Status Connect(const std::string& socket) {
    const absl::Time deadline = absl::Now() + kStartTimeout;
    for (;;) {
      context_ = redisConnectUnix(socket.c_str());
      if (context_ != nullptr && context_->err == 0) return absl::OkStatus();
      std::string why = context_ != nullptr ? context_->errstr : "no memory";
      if (context_ != nullptr) redisFree(std::exchange(context_, nullptr));
      const bool ended = waitpid(server_, nullptr, WNOHANG) == server_;
      if (ended) server_ = -1;
      if (ended || absl::Now() > deadline) {
        return absl::UnavailableError(
            absl::StrCat("redis: ", socket, ": ", why));
      }
      absl::SleepFor(kStartPoll);
    }
  }

  Reply Command(std::vector<absl::string_view> parts) {
    const char* argv[3];
    size_t sizes[3];
    for (size_t i = 0; i < parts.size(); ++i) {
      argv[i] = parts[i].data();
      sizes[i] = parts[i].size();
    }
    return Reply(static_cast<redisReply*>(redisCommandArgv(
        context_, static_cast<int>(parts.size()), argv, sizes)));
  }

  pid_t server_ = -1;
  redisContext* context_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenRedis(const std::string& dir) {
  auto redis = std::make_unique<Redis>();
  LARDER_RETURN_IF_ERROR(redis->Open(dir));
  return std::unique_ptr<Store>(std::move(redis));
}

}  // namespace larder::bench
