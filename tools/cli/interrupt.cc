#include "tools/cli/interrupt.h"

#include <csignal>

#include "absl/status/status.h"
#include "backup/cancellation.h"
#include "cache/check.h"

namespace larder::cli {
namespace {

backup::Cancellation interrupted;

void OnSignal(int) { interrupted.Cancel(); }

constexpr int kSignals[] = {SIGINT, SIGTERM};

}  // namespace

InterruptScope::InterruptScope() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  // No SA_RESTART: a read from a terminal or a pipe must end, too.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (int signal : kSignals) {
    struct sigaction before = {};
    LARDER_CHECK(sigaction(signal, nullptr, &before) == 0);
    // nohup and background jobs of shells ignore it: so do we.
    if (before.sa_handler == SIG_IGN) continue;
    LARDER_CHECK(sigaction(signal, &action, nullptr) == 0);
  }
}

InterruptScope::~InterruptScope() {
  for (int signal : kSignals) {
    struct sigaction now = {};
    LARDER_CHECK(sigaction(signal, nullptr, &now) == 0);
    if (now.sa_handler == OnSignal) std::signal(signal, SIG_DFL);
  }
}

bool Interrupted() { return interrupted.cancelled(); }

const backup::Cancellation* InterruptFlag() { return &interrupted; }

absl::Status InterruptedError() { return absl::CancelledError("interrupted"); }

}  // namespace larder::cli
