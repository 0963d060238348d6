// Resume tokens: nothing but what was issued passes, and that only for what it
// is bound to. Input: three sizes (u8), then peer, lineage, snapshot id; the
// rest is a token.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "replication/resume_token.h"
#include "tests/fuzz/input.h"

namespace larder::replication {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

std::string Take(size_t size, absl::string_view* input) {
  const absl::string_view taken = input->substr(0, size);
  input->remove_prefix(taken.size());
  return std::string(taken);
}

void CheckToken(absl::string_view input) {
  const ResumeTokens tokens(std::string(32, 'k'));
  const std::string sizes = Take(3, &input);
  if (sizes.size() < 3) return;
  const auto size = [&sizes](size_t i) {
    return static_cast<size_t>(static_cast<uint8_t>(sizes[i]));
  };
  ResumeBinding binding;
  binding.peer = Take(size(0), &input);
  binding.lineage = Take(size(1), &input);
  binding.snapshot_id = Take(size(2), &input);
  binding.stream_id = 42;
  const std::string issued = tokens.Issue(binding, kNow + 1);
  LARDER_CHECK(issued.size() == kResumeTokenBytes);
  LARDER_CHECK(tokens.Verify(issued, binding, kNow).ok());
  LARDER_CHECK(
      absl::IsUnauthenticated(tokens.Verify(issued, binding, kNow + 1)));
  // What nobody issued; a token that the seeds know is of another secret.
  if (input != issued) {
    LARDER_CHECK(absl::IsUnauthenticated(tokens.Verify(input, binding, kNow)));
  }
  // The same text, cut elsewhere, is another binding.
  ResumeBinding moved = binding;
  if (!moved.peer.empty()) {
    moved.lineage.insert(0, 1, moved.peer.back());
    moved.peer.pop_back();
    LARDER_CHECK(!tokens.Verify(issued, moved, kNow).ok());
  }
  // So is one with the input's bytes written over it.
  std::string forged = issued;
  std::copy_n(input.begin(), std::min(input.size(), forged.size()),
              forged.begin());
  LARDER_CHECK(forged == issued || !tokens.Verify(forged, binding, kNow).ok());
}

}  // namespace
}  // namespace larder::replication

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::replication::CheckToken(larder::tests::Input(data, size));
  return 0;
}
