#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace larder::tests {
namespace {

// Numbers at which limits, signs and varints change.
constexpr uint64_t kNumbers[] = {
    0,          1,          7,          8,          64,         127,
    128,        255,        256,        4095,       4096,       4097,
    0x7fff,     0xffff,     0x10000,    0x7fffffff, 0x80000000, 0xffffffff,
    1ull << 32, 1ull << 47, 1ull << 48, 1ull << 63, INT64_MAX,  UINT64_MAX,
    ~255ull,    ~0xffffull, 1ull << 16, 1ull << 20, 1ull << 24, 0x80808080,
};

// A random part of `bytes`: short ones are likelier.
struct Part {
  size_t begin;
  size_t size;
};
Part SomePart(const std::string& bytes, std::mt19937_64* random) {
  if (bytes.empty()) return {0, 0};
  const size_t begin = (*random)() % bytes.size();
  const size_t limit =
      std::min<size_t>(bytes.size() - begin, size_t{1} << ((*random)() % 10));
  return {begin, 1 + (*random)() % limit};
}

void FlipBit(std::string* bytes, std::mt19937_64* random) {
  if (bytes->empty()) return;
  char& at = (*bytes)[(*random)() % bytes->size()];
  at = static_cast<char>(at ^ (1 << ((*random)() % 8)));
}

void SetByte(std::string* bytes, std::mt19937_64* random) {
  if (bytes->empty()) return;
  (*bytes)[(*random)() % bytes->size()] = static_cast<char>((*random)());
}

void SetNumber(std::string* bytes, std::mt19937_64* random) {
  uint64_t number = kNumbers[(*random)() % std::size(kNumbers)];
  if ((*random)() % 4 == 0) number = __builtin_bswap64(number);
  const size_t size = size_t{1} << ((*random)() % 4);
  if (bytes->size() < size) return;
  const size_t at = (*random)() % (bytes->size() - size + 1);
  std::memcpy(&(*bytes)[at], &number, size);
}

void AddToNumber(std::string* bytes, std::mt19937_64* random) {
  const size_t size = size_t{1} << ((*random)() % 4);
  if (bytes->size() < size) return;
  const size_t at = (*random)() % (bytes->size() - size + 1);
  uint64_t number = 0;
  std::memcpy(&number, &(*bytes)[at], size);
  number += (*random)() % 33 - 16;
  std::memcpy(&(*bytes)[at], &number, size);
}

void Erase(std::string* bytes, std::mt19937_64* random) {
  const Part part = SomePart(*bytes, random);
  bytes->erase(part.begin, part.size);
}

void Truncate(std::string* bytes, std::mt19937_64* random) {
  bytes->resize((*random)() % (bytes->size() + 1));
}

// Inserts, or writes over what is there, a part of `from`.
void Splice(const std::string& from, std::string* bytes,
            std::mt19937_64* random) {
  const Part part = SomePart(from, random);
  const std::string piece = from.substr(part.begin, part.size);
  const size_t at = (*random)() % (bytes->size() + 1);
  const bool insert = (*random)() % 2 == 0;
  bytes->replace(at, insert ? 0 : piece.size(), piece);
}

}  // namespace

std::string Mutate(const std::vector<std::string>& corpus,
                   std::mt19937_64* random) {
  std::string bytes = corpus[(*random)() % corpus.size()];
  for (uint64_t changes = 1 + (*random)() % 4; changes > 0; --changes) {
    switch ((*random)() % 8) {
      case 0:
        FlipBit(&bytes, random);
        break;
      case 1:
        SetByte(&bytes, random);
        break;
      case 2:
        SetNumber(&bytes, random);
        break;
      case 3:
        AddToNumber(&bytes, random);
        break;
      case 4:
        Erase(&bytes, random);
        break;
      case 5:
        Truncate(&bytes, random);
        break;
      case 6:
        Splice(std::string(bytes), &bytes, random);
        break;
      default:
        Splice(corpus[(*random)() % corpus.size()], &bytes, random);
        break;
    }
  }
  bytes.resize(std::min(bytes.size(), kInputBytesMax));
  return bytes;
}

}  // namespace larder::tests
