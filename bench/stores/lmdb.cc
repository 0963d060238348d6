#include "bench/stores/lmdb.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

absl::Status FromLmdb(int code, absl::string_view what) {
  if (code == MDB_SUCCESS) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("lmdb: ", what, ": ", mdb_strerror(code)));
}

// LMDB's own structure is not const-correct; it does not write through it.
MDB_val ValOf(absl::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

class Lmdb : public Store {
 public:
  ~Lmdb() override {
    if (reader_ != nullptr) mdb_txn_abort(reader_);
    if (env_ != nullptr) mdb_env_close(env_);
  }

  absl::Status Open(const LmdbOptions& options) {
    if (mkdir(options.dir.c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::ErrnoToStatus(errno, options.dir);
    }
    LARDER_RETURN_IF_ERROR(FromLmdb(mdb_env_create(&env_), "create"));
    LARDER_RETURN_IF_ERROR(FromLmdb(
        mdb_env_set_mapsize(env_, static_cast<size_t>(options.bytes_max)),
        "map size"));
    LARDER_RETURN_IF_ERROR(FromLmdb(
        mdb_env_open(env_, options.dir.c_str(), MDB_NOSYNC, 0600), "open"));
    MDB_txn* txn;
    LARDER_RETURN_IF_ERROR(
        FromLmdb(mdb_txn_begin(env_, nullptr, 0, &txn), "begin"));
    LARDER_RETURN_IF_ERROR(
        FromLmdb(mdb_dbi_open(txn, nullptr, 0, &dbi_), "dbi"));
    LARDER_RETURN_IF_ERROR(FromLmdb(mdb_txn_commit(txn), "commit"));
    LARDER_RETURN_IF_ERROR(
        FromLmdb(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader_), "reader"));
    mdb_txn_reset(reader_);
    return absl::OkStatus();
  }

  std::string name() const override { return "lmdb"; }

  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    MDB_txn* txn;
    LARDER_RETURN_IF_ERROR(
        FromLmdb(mdb_txn_begin(env_, nullptr, 0, &txn), "begin"));
    MDB_val k = ValOf(key);
    MDB_val v = ValOf(bytes);
    if (const int code = mdb_put(txn, dbi_, &k, &v, 0); code != MDB_SUCCESS) {
      mdb_txn_abort(txn);
      return FromLmdb(code, "put");
    }
    return FromLmdb(mdb_txn_commit(txn), "commit");
  }

  bool Get(absl::string_view key, Use use) override {
    return View(key, [&](absl::string_view bytes) {
      copy_.assign(bytes.data(), bytes.size());
      use(copy_);
    });
  }

  absl::Status CopyTo(int fd) {
    return FromLmdb(mdb_env_copyfd(env_, fd), "copy");
  }

  bool View(absl::string_view key, Use use) {
    if (mdb_txn_renew(reader_) != MDB_SUCCESS) return false;
    MDB_val k = ValOf(key);
    MDB_val v;
    const bool found = mdb_get(reader_, dbi_, &k, &v) == MDB_SUCCESS;
    if (found) use({static_cast<const char*>(v.mv_data), v.mv_size});
    mdb_txn_reset(reader_);
    return found;
  }

 private:
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  MDB_txn* reader_ = nullptr;
  std::string copy_;  // Of the value, kept for its capacity.
};

class ZeroCopy : public Store {
 public:
  explicit ZeroCopy(Lmdb* lmdb) : lmdb_(lmdb) {}
  std::string name() const override { return "lmdb, zero-copy"; }
  absl::Status Put(absl::string_view, absl::string_view) override {
    return absl::OkStatus();  // The other one has it.
  }
  bool Get(absl::string_view key, Use use) override {
    return lmdb_->View(key, use);
  }

 private:
  Lmdb* const lmdb_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenLmdb(const LmdbOptions& options) {
  auto lmdb = std::make_unique<Lmdb>();
  LARDER_RETURN_IF_ERROR(lmdb->Open(options));
  return std::unique_ptr<Store>(std::move(lmdb));
}

absl::Status BackUpLmdb(Store* lmdb, const std::string& dir) {
  if (mkdir(dir.c_str(), 0700) != 0) return absl::ErrnoToStatus(errno, dir);
  const int fd =
      open((dir + "/data.mdb").c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, dir);
  const absl::Status copied = static_cast<Lmdb*>(lmdb)->CopyTo(fd);
  close(fd);
  return copied;
}

std::unique_ptr<Store> ZeroCopyLmdb(Store* lmdb) {
  return std::make_unique<ZeroCopy>(static_cast<Lmdb*>(lmdb));
}

}  // namespace larder::bench
