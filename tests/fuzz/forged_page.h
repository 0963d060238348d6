// Pages of `meta` as fuzz inputs: short, and with the numbers that a forger
// would have put in.
#ifndef LARDER_TESTS_FUZZ_FORGED_PAGE_H_
#define LARDER_TESTS_FUZZ_FORGED_PAGE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/l2/page.h"

namespace larder::tests {

// A page is zero in the middle. Packed: u16 bytes before the zeros, u16 bytes
// behind them, then both.
std::string PackPage(absl::string_view page);
// Takes a packed page off the front of `*input`; what is missing, or too much,
// is zero or left out. Of exactly kPageBytes on the heap, for ASan.
std::vector<char> UnpackPage(absl::string_view* input);

// Writes the right checksum.
void MendPage(std::vector<char>* page);
// Writes number and epoch, then the checksum.
void MendPage(uint64_t number, uint64_t epoch, std::vector<char>* page);

// What a parent would have to say of `page`: its header, and entries as far as
// they can be added up.
cache::l2::ChildRef RefOf(const std::vector<char>& page);

}  // namespace larder::tests

#endif  // LARDER_TESTS_FUZZ_FORGED_PAGE_H_
