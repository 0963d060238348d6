#include "tests/golden/golden_files.h"

#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "cache/check.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using cache::l2::FileSystem;

constexpr char kPacked[] = ".zst";

std::string Pack(const std::string& bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), bytes.data(),
                                    bytes.size(), /*compressionLevel=*/19);
  LARDER_CHECK(ZSTD_isError(size) == 0);
  packed.resize(size);
  return packed;
}

std::string Unpack(const std::string& packed) {
  std::string bytes(ZSTD_getFrameContentSize(packed.data(), packed.size()),
                    '\0');
  LARDER_CHECK(ZSTD_decompress(bytes.data(), bytes.size(), packed.data(),
                               packed.size()) == bytes.size());
  return bytes;
}

}  // namespace

void ExportTree(FileSystem* file_system, const std::string& from,
                const std::string& to) {
  fs::create_directories(to);
  const auto names = file_system->List(from);
  LARDER_CHECK(names.ok());
  for (const std::string& name : *names) {
    const std::string source = absl::StrCat(from, "/", name);
    std::string target = absl::StrCat(to, "/", name);
    if (file_system->List(source).ok()) {
      ExportTree(file_system, source, target);
      continue;
    }
    const auto file = file_system->Open(source, {.read_only = true});
    LARDER_CHECK(file.ok());
    std::string bytes((*file)->Size(), '\0');
    LARDER_CHECK((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    if (bytes.size() > kPackedBytesMin) {
      bytes = Pack(bytes);
      target += kPacked;
    }
    std::ofstream out(target, std::ios::binary);
    out << bytes;
    out.close();
    LARDER_CHECK(out.good());
  }
}

void ImportTree(const std::string& from, FileSystem* file_system,
                const std::string& to) {
  LARDER_CHECK(file_system->CreatePrivateDirectories(to).ok());
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename();
    if (entry.is_directory()) {
      ImportTree(entry.path(), file_system, absl::StrCat(to, "/", name));
      continue;
    }
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(in), {});
    if (absl::EndsWith(name, kPacked)) bytes = Unpack(bytes);
    const auto file = file_system->Open(
        absl::StrCat(to, "/", absl::StripSuffix(name, kPacked)),
        {.create = true, .owner_only = true});
    LARDER_CHECK(file.ok());
    LARDER_CHECK((*file)->Resize(bytes.size()).ok());
    LARDER_CHECK((*file)->WriteAt(0, bytes).ok());
  }
}

}  // namespace larder::tests
