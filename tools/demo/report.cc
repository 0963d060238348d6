#include "tools/demo/report.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tools/cli/units.h"

namespace larder::demo {

void PrintReport(const Stage& stage) {
  const Figures& figures = stage.figures;
  const auto row = [&stage](absl::string_view name, absl::string_view value) {
    stage.narrator->Say(absl::StrFormat("  %-26s %s", name, value));
  };
  const double ratio = static_cast<double>(figures.snapshot_raw_bytes) /
                       static_cast<double>(figures.snapshot_stored_bytes);
  stage.narrator->Say("");
  row("files",
      absl::StrCat(
          cli::FormatCount(static_cast<int64_t>(stage.corpus.files.size())),
          ", ", cli::FormatBytes(stage.corpus.bytes)));
  row("blobs in the snapshot",
      absl::StrCat(cli::FormatCount(figures.snapshot_blobs), ", ",
                   cli::FormatBytes(figures.snapshot_raw_bytes), ", ratio ",
                   absl::StrFormat("%.2f", ratio)));
  row("blobs compared",
      absl::StrCat(cli::FormatCount(figures.compared_blobs), ", ",
                   cli::FormatBytes(figures.compared_bytes)));
  row("import, backup, restore",
      absl::StrCat(
          cli::FormatBytesPerSecond(figures.import_bytes_per_second), ", ",
          cli::FormatBytesPerSecond(figures.backup_bytes_per_second), ", ",
          cli::FormatBytesPerSecond(figures.restore_bytes_per_second)));
  row("pin", cli::FormatNanos(figures.pin_nanos));
  row("get p50, p99 without backup",
      absl::StrCat(cli::FormatNanos(stage.gets_without_backup.Quantile(0.5)),
                   ", ",
                   cli::FormatNanos(stage.gets_without_backup.Quantile(0.99))));
  row("get p50, p99 with backup",
      absl::StrCat(cli::FormatNanos(stage.gets_with_backup.Quantile(0.5)), ", ",
                   cli::FormatNanos(stage.gets_with_backup.Quantile(0.99))));
}

void AddReport(const Stage& stage, cli::JsonObject* facts) {
  const Figures& figures = stage.figures;
  facts->String("work", stage.work)
      .Int("files", static_cast<int64_t>(stage.corpus.files.size()))
      .Int("bytes", stage.corpus.bytes)
      .String("snapshot", stage.snapshot_id)
      .Id("snapshot_epoch", stage.snapshot_epoch)
      .Int("snapshot_blobs", figures.snapshot_blobs)
      .Int("snapshot_raw_bytes", figures.snapshot_raw_bytes)
      .Int("snapshot_stored_bytes", figures.snapshot_stored_bytes)
      .Int("compared_blobs", figures.compared_blobs)
      .Int("compared_bytes", figures.compared_bytes)
      .Int("orphan_bytes", figures.orphan_bytes)
      .Int("gets", figures.gets)
      .Number("import_bytes_per_second", figures.import_bytes_per_second)
      .Number("backup_bytes_per_second", figures.backup_bytes_per_second)
      .Number("restore_bytes_per_second", figures.restore_bytes_per_second)
      .Int("pin_nanos", figures.pin_nanos)
      .Int("flush_nanos", figures.flush_nanos)
      .Int("get_p99_nanos_without_backup",
           stage.gets_without_backup.Quantile(0.99))
      .Int("get_p99_nanos_with_backup", stage.gets_with_backup.Quantile(0.99));
}

}  // namespace larder::demo
