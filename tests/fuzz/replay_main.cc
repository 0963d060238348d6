// The main of a fuzz target in a build without libFuzzer. With arguments: runs
// those files, as libFuzzer's main does. Without: runs every seed, then a fixed
// number of mutations of them (LARDER_SEED, LARDER_ROUNDS).
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "tests/fuzz/corpus_directory.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/failure_directory.h"
#include "tests/support/seeded.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace larder::tests {
namespace {

// Source: some seconds under ASan for the slowest target.
constexpr int64_t kRounds = 5000;

// What the child runs, where its parent can see it: a failure may be anything
// that ends a process, and a file for each input would take most of the time.
struct Current {
  size_t size;
  char bytes[kInputBytesMax];
};

bool ReadFile(const std::string& path, std::string* bytes) {
  std::ifstream file(path, std::ios::binary);
  if (file.is_open()) {
    bytes->assign(std::istreambuf_iterator<char>(file), {});
    return true;
  }
  std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
  return false;
}

// On the heap and of the exact size, so that ASan sees what is beyond.
void Run(const std::string& bytes) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), bytes.size());
}

int RunFiles(int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    std::string bytes;
    if (!ReadFile(paths[i], &bytes)) return 1;
    std::printf("%s: %zu bytes\n", paths[i], bytes.size());
    std::fflush(stdout);
    Run(bytes);
  }
  return 0;
}

// Empty when there are none, or one cannot be read.
std::vector<std::string> ReadCorpus(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory, error)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // The seed alone decides.
  std::vector<std::string> corpus;
  for (const std::string& path : paths) {
    std::string bytes;
    if (!ReadFile(path, &bytes)) return {};
    corpus.push_back(std::move(bytes));
  }
  return corpus;
}

void RunAndNote(const std::string& bytes, Current* current) {
  LARDER_CHECK(bytes.size() <= sizeof(current->bytes));
  std::copy(bytes.begin(), bytes.end(), current->bytes);
  current->size = bytes.size();
  Run(bytes);
}

void RunAll(const std::vector<std::string>& corpus, Current* current) {
  for (const std::string& bytes : corpus) RunAndNote(bytes, current);
  std::mt19937_64 random(SeedOr(1));
  const int64_t rounds = CountOr("LARDER_ROUNDS", kRounds);
  std::printf("%zu seeds, then %lld mutations\n", corpus.size(),
              static_cast<long long>(rounds));
  std::fflush(stdout);
  for (int64_t round = 0; round < rounds; ++round) {
    RunAndNote(Mutate(corpus, &random), current);
  }
}

int RunCorpus(const char* program) {
  const std::string directory = CorpusDirectory(program);
  const std::vector<std::string> corpus = ReadCorpus(directory);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no seeds\n", directory.c_str());
    return 1;
  }
  void* shared = mmap(nullptr, sizeof(Current), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  LARDER_CHECK(shared != MAP_FAILED);
  auto* current = static_cast<Current*>(shared);
  const pid_t child = fork();
  LARDER_CHECK(child >= 0);
  if (child == 0) {
    RunAll(corpus, current);
    return 0;
  }
  int status = 0;
  LARDER_CHECK(waitpid(child, &status, 0) == child);
  if (status == 0) return 0;
  const std::string path = absl::StrCat(FailureDirectory(), "/crash-replay");
  std::ofstream(path, std::ios::binary)
      << absl::string_view(current->bytes, current->size);
  std::fprintf(stderr, "the input that failed is now %s\n", path.c_str());
  return 1;
}

}  // namespace
}  // namespace larder::tests

int main(int argc, char** argv) {
  return argc > 1 ? larder::tests::RunFiles(argc - 1, argv + 1)
                  : larder::tests::RunCorpus(argv[0]);
}
