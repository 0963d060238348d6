#include "backup/orchestrator.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "backup/crypto/random.h"
#include "backup/format/archive_file.h"
#include "backup/format/chunk.h"
#include "backup/format/dump_seal.h"
#include "backup/format/message.h"
#include "backup/format/sealed_dump.h"
#include "backup/internal/chunk_stream.h"
#include "backup/internal/fan_out.h"
#include "backup/internal/giving_way.h"
#include "backup/internal/sink_worker.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::FanOut;
using backup_internal::GivingWay;
using backup_internal::SinkWorker;
// As the sources; null: it failed, or nobody needs it any more.
using Views = std::vector<std::unique_ptr<SourceView>>;

// The share of what a pin may take from which on a backup hurries: three of
// four parts are left for who needs all of them at usual priority.
constexpr double kGiveWayUsedMax = 0.25;

// SourceView::used() of the view that may be taken away first.
double MostUsed(const Views& views) {
  double used = 0;
  for (const auto& view : views) {
    if (view != nullptr) used = std::max(used, view->used());
  }
  return used;
}

// Whether an error of Emit() ended the whole backup, rather than a source.
bool EndsBackup(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsUnavailable(status);
}

// The chunks of one source, into the streams; their order is that of its dumps.
class SourceSender : public SourceOutput {
 public:
  // `views`: all that are open, since their snapshots are kept meanwhile.
  // Borrows all.
  SourceSender(FanOut* fan_out, uint16_t source, const Views* views,
               GivingWay* giving_way,
               const std::function<void(const BackupProgress&)>* report,
               BackupProgress* progress)
      : fan_out_(fan_out),
        source_(source),
        views_(views),
        giving_way_(giving_way),
        report_(report),
        progress_(progress) {}

  // The dump of the next stream. Borrows both.
  void AddDump(const format::SourceInfo* base, format::SourceTotals* totals) {
    own_dumps_.emplace_back(this, own_dumps_.size(), base, totals);
    dumps_.push_back(&own_dumps_.back());
  }

  absl::Span<SourceDump* const> dumps() override { return dumps_; }

  absl::Status EmitToAll(format::ChunkType type,
                         absl::string_view payload) override {
    return Sent(fan_out_->SendToAll(type, source_, payload));
  }

  void Advance(int64_t bytes) override {
    progress_->bytes_done += bytes;
    progress_->bytes_total =
        std::max(progress_->bytes_total, progress_->bytes_done);
  }

  absl::Status Repeat(absl::FunctionRef<absl::StatusOr<bool>()> step) override {
    absl::Status status;
    giving_way_->Repeat([&] {
      const absl::StatusOr<bool> more = step();
      status = more.status();
      if (MostUsed(*views_) > kGiveWayUsedMax) giving_way_->End();
      return more.ok() && *more;
    });
    return status;
  }

  // Why the whole backup must end; OK: it need not.
  const absl::Status& ended() const { return ended_; }

 private:
  class Dump : public SourceDump {
   public:
    Dump(SourceSender* sender, size_t stream, const format::SourceInfo* base,
         format::SourceTotals* totals)
        : sender_(sender), stream_(stream), base_(base), totals_(totals) {}

    const format::SourceInfo* base() const override { return base_; }
    format::SourceTotals* totals() override { return totals_; }
    bool wanted() const override { return sender_->fan_out_->IsAlive(stream_); }
    absl::StatusOr<uint64_t> Emit(format::ChunkType type,
                                  absl::string_view payload) override {
      const uint64_t sequence = next_sequence();
      LARDER_RETURN_IF_ERROR(sender_->Sent(
          sender_->fan_out_->Send(stream_, type, sender_->source_, payload)));
      return sequence;
    }
    absl::StatusOr<uint64_t> EmitInPlace(
        format::ChunkType type, std::string room_and_payload) override {
      const uint64_t sequence = next_sequence();
      LARDER_RETURN_IF_ERROR(sender_->Sent(sender_->fan_out_->SendInPlace(
          stream_, type, sender_->source_, std::move(room_and_payload))));
      return sequence;
    }
    uint64_t next_sequence() const override {
      return sender_->fan_out_->stream(stream_).next_sequence();
    }

   private:
    SourceSender* const sender_;
    const size_t stream_;
    const format::SourceInfo* const base_;
    format::SourceTotals* const totals_;
  };

  absl::Status Sent(const absl::Status& sent) {
    if (EndsBackup(sent)) ended_ = sent;
    LARDER_RETURN_IF_ERROR(sent);
    for (size_t i = 0; i < dumps_.size(); ++i) {
      progress_->bytes_sent =
          std::max(progress_->bytes_sent, fan_out_->stream(i).bytes());
    }
    if (*report_) (*report_)(*progress_);
    return absl::OkStatus();
  }

  FanOut* const fan_out_;
  const uint16_t source_;
  const Views* const views_;
  GivingWay* const giving_way_;
  const std::function<void(const BackupProgress&)>* const report_;
  BackupProgress* const progress_;
  std::deque<Dump> own_dumps_;
  std::vector<SourceDump*> dumps_;
  absl::Status ended_;
};

// One dump: for all sinks that build on the same snapshot, or on none.
struct Stream {
  std::vector<size_t> sinks;
  std::optional<format::DumpHeader> base;
  format::DumpHeader header;
  std::string header_bytes;  // As sent.
  format::DumpSeal seal;
  std::vector<format::SourceTotals> totals;  // As the sources.
  format::Manifest manifest;

  // What the base has of a source; null: nothing.
  const format::SourceInfo* BaseOf(const std::string& source) const {
    if (!base.has_value()) return nullptr;
    for (const format::SourceInfo& info : base->sources()) {
      if (info.name() == source) return &info;
    }
    return nullptr;
  }
};

format::DumpHeader HeaderInTheClear(const BackupReport& report,
                                    uint64_t stream_id) {
  format::DumpHeader header;
  header.set_format_version(format::kFormatVersion);
  header.set_stream_id(stream_id);
  header.set_snapshot_id(report.snapshot_id);
  header.set_created_unix_ms(report.created_unix_ms);
  format::Limits* limits = header.mutable_limits();
  limits->set_chunk_payload_bytes_max(format::kChunkPayloadBytesMax);
  limits->set_decoded_bytes_max(format::kDecodedBytesMax);
  limits->set_frame_bytes_max(format::kFrameBytesMax);
  limits->set_window_log_max(format::kWindowLogMax);
  return header;
}

// Fills in what the sources say they will send, given the base. Returns:
// whether that is a delta; else there is no base.
bool DescribeSources(const Views& views, const BackupReport& report,
                     Stream* stream) {
  bool is_delta = false;
  stream->header.clear_sources();
  for (size_t i = 0; i < views.size(); ++i) {
    const SourceResult& source = report.sources[i];
    format::SourceInfo* info = stream->header.add_sources();
    if (views[i] != nullptr) {
      *info = views[i]->Describe(stream->BaseOf(source.name));
    }
    info->set_name(source.name);
    info->set_required(source.required);
    is_delta = is_delta || info->cache().base_epoch() != 0;
  }
  if (is_delta) {
    stream->header.set_base_snapshot_id(stream->base->snapshot_id());
  } else {
    stream->base.reset();
  }
  return is_delta;
}

// What is the same of all sinks that a stream is for: what their base holds.
// Sinks say it of themselves, and a replica may say anything.
std::string BaseKey(const Stream& stream) {
  std::string key = stream.header.base_snapshot_id();
  for (const format::SourceInfo& source : stream.header.sources()) {
    const format::SourceInfo* const base = stream.BaseOf(source.name());
    if (source.cache().base_epoch() == 0 || base == nullptr) continue;
    absl::StrAppend(&key, " ", source.name(), " ", source.cache().base_epoch(),
                    " ", base->cache().complete_through());
  }
  return key;
}

using MakeHeaderFn = absl::FunctionRef<absl::StatusOr<format::DumpHeader>()>;

// The streams that the sinks need, the fullest first. Each has a header, and so
// a salt, of its own: their chunks have the same sequences. A sink that cannot
// have a delta on `base_id`, if that is not empty, is dropped.
absl::StatusOr<std::vector<Stream>> PlanStreams(const Views& views,
                                                const FanOut& fan_out,
                                                const BackupReport& report,
                                                const std::string& base_id,
                                                MakeHeaderFn make_header) {
  std::map<std::string, Stream> by_base;
  for (size_t i = 0; i < fan_out.workers().size(); ++i) {
    SinkWorker* const worker = fan_out.workers()[i].get();
    if (!worker->alive()) continue;
    Stream stream;
    LARDER_ASSIGN_OR_RETURN(stream.header, make_header());
    std::vector<format::DumpHeader> bases = worker->bases();
    bool is_delta = false;
    for (size_t b = 0; b < bases.size() && !is_delta; ++b) {
      stream.base = std::move(bases[b]);
      is_delta = DescribeSources(views, report, &stream);
    }
    if (!is_delta && !base_id.empty()) {
      worker->Drop(absl::NotFoundError(absl::StrCat(
          "snapshot ", base_id,
          ": cannot be built on: not of this cache's past, or without blobs")));
      continue;
    }
    if (!is_delta) DescribeSources(views, report, &stream);
    by_base.try_emplace(BaseKey(stream), std::move(stream))
        .first->second.sinks.push_back(i);
  }
  std::vector<Stream> streams;
  for (auto& [base, stream] : by_base) streams.push_back(std::move(stream));
  return streams;
}

format::Trailer MakeTrailer(const BackupReport& report, const Stream& stream,
                            const backup_internal::ChunkStream& chunks) {
  format::Trailer trailer;
  chunks.CountInto(&trailer);
  for (size_t i = 0; i < report.sources.size(); ++i) {
    const SourceResult& source = report.sources[i];
    format::SourceEnd* end = trailer.add_sources();
    end->set_status_code(static_cast<int>(source.status.code()));
    end->set_status_message(std::string(source.status.message().substr(
        0, static_cast<size_t>(format::kProblemBytesMax))));
    *end->mutable_totals() = stream.totals[i];
    if (!stream.header.has_encryption()) continue;
    // The trailer is in the clear, and these have names in them; whoever made
    // the backup reads them in the report.
    end->mutable_totals()->clear_problems();
    if (!source.status.ok()) end->set_status_message("it does not say why");
  }
  return trailer;
}

// Whether the backup may go on with what the sources gave so far.
absl::Status CheckSources(const BackupReport& report) {
  bool any = false;
  for (const SourceResult& source : report.sources) {
    any = any || source.status.ok();
    if (source.required && !source.status.ok()) {
      return absl::Status(
          source.status.code(),
          absl::StrCat("source ", source.name, ": ", source.status.message()));
    }
  }
  if (any) return absl::OkStatus();
  const SourceResult& first = report.sources.front();
  return absl::Status(first.status.code(),
                      absl::StrCat("every source failed; ", first.name, ": ",
                                   first.status.message()));
}

// Opens all sources, as close to each other in time as can be.
Views OpenSources(const std::vector<std::unique_ptr<SnapshotSource>>& sources,
                  const SourceRequest& request, BackupReport* report,
                  BackupProgress* progress) {
  Views views;
  for (const auto& source : sources) {
    SourceResult result;
    result.name = source->name();
    result.required = source->required();
    absl::StatusOr<std::unique_ptr<SourceView>> view = source->Open(request);
    result.status = view.status();
    if (view.ok()) {
      result.info = (*view)->Describe(nullptr);
      progress->bytes_total += (*view)->bytes_estimate();
      views.push_back(*std::move(view));
    } else {
      views.push_back(nullptr);
    }
    result.info.set_name(source->name());
    result.info.set_required(source->required());
    report->sources.push_back(std::move(result));
  }
  return views;
}

// The header of each stream: its first chunk.
absl::Status SendHeaders(const crypto::KeyRing* keys,
                         std::vector<Stream>* streams, FanOut* fan_out) {
  for (Stream& stream : *streams) {
    stream.seal = format::SealOf(stream.header, keys);
    LARDER_CHECK(stream.seal.status().ok());
    stream.header_bytes = format::SerializeMessage(stream.header);
    fan_out->AddStream(stream.sinks, stream.seal);
  }
  for (size_t i = 0; i < streams->size(); ++i) {
    LARDER_RETURN_IF_ERROR(fan_out->Send(i, format::ChunkType::kHeader,
                                         format::kNoSource,
                                         (*streams)[i].header_bytes));
  }
  return absl::OkStatus();
}

// Closes each view behind its work, and so gives back its snapshot.
absl::Status SendSources(Views* views, const BackupRequest& request,
                         std::vector<Stream>* streams, GivingWay* giving_way,
                         FanOut* fan_out, BackupReport* report,
                         BackupProgress* progress) {
  for (Stream& stream : *streams) stream.totals.resize(views->size());
  for (size_t i = 0; i < views->size(); ++i) {
    SourceResult& source = report->sources[i];
    if ((*views)[i] == nullptr) continue;
    progress->source = source.name;
    SourceSender sender(fan_out, static_cast<uint16_t>(i), views, giving_way,
                        &request.progress, progress);
    for (Stream& stream : *streams) {
      sender.AddDump(stream.BaseOf(source.name), &stream.totals[i]);
    }
    source.status = (*views)[i]->Produce(&sender);
    (*views)[i].reset();
    LARDER_RETURN_IF_ERROR(sender.ended());
    LARDER_RETURN_IF_ERROR(CheckCancelled(request.cancellation));
  }
  return CheckSources(*report);
}

absl::Status SendTrailers(const BackupReport& report,
                          std::vector<Stream>* streams, FanOut* fan_out) {
  for (size_t i = 0; i < streams->size(); ++i) {
    Stream& stream = (*streams)[i];
    stream.manifest.set_format_version(format::kFormatVersion);
    *stream.manifest.mutable_header() = stream.header;
    format::Trailer* trailer = stream.manifest.mutable_trailer();
    *trailer = MakeTrailer(report, stream, fan_out->stream(i));
    if (stream.seal.sealed()) {
      format::SignTrailer(stream.seal, std::move(stream.header_bytes), trailer);
    }
    LARDER_RETURN_IF_ERROR(fan_out->Send(i, format::ChunkType::kTrailer,
                                         format::kNoSource,
                                         format::SerializeMessage(*trailer)));
  }
  return absl::OkStatus();
}

// Adds what a stream sent to the report.
void Account(const Stream& stream, const backup_internal::ChunkStream& chunks,
             const FanOut& fan_out, bool is_first, BackupReport* report) {
  report->chunks += static_cast<int64_t>(chunks.next_sequence());
  report->bytes_sent += chunks.bytes();
  for (size_t i = 0; is_first && i < report->sources.size(); ++i) {
    report->sources[i].info = stream.header.sources(static_cast<int>(i));
    report->sources[i].totals = stream.totals[i];
  }
  for (const size_t i : stream.sinks) {
    report->sinks[i].base_snapshot_id = stream.header.base_snapshot_id();
    report->sinks[i].sealed_before =
        fan_out.workers()[i]->SealedBefore(stream.header);
  }
}

Outcome Judge(const BackupReport& report) {
  bool complete = true, anywhere = false;
  for (const SinkResult& sink : report.sinks) {
    anywhere = anywhere || sink.status.ok();
    complete = complete && sink.status.ok();
  }
  for (const SourceResult& source : report.sources) {
    complete =
        complete && source.status.ok() && source.totals.problems_count() == 0;
  }
  if (!anywhere) return Outcome::kFailed;
  return complete ? Outcome::kOk : Outcome::kPartial;
}

// Whether an error does not say what the other side has done.
bool LeavesOpen(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

void CollectSinks(const std::vector<std::shared_ptr<SnapshotSink>>& sinks,
                  const FanOut& fan_out, BackupReport* report) {
  for (size_t i = 0; i < sinks.size(); ++i) {
    const auto& worker = fan_out.workers()[i];
    SinkResult& result = report->sinks[i];
    result.status = worker->status();
    if (result.status.ok()) result.receipt = worker->receipt();
    result.may_hold =
        worker->told_to_finish() && LeavesOpen(result.status.code());
  }
  report->chunks_in_flight_peak = fan_out.in_flight().chunks_peak();
  report->bytes_in_flight_peak = fan_out.in_flight().bytes_peak();
}

// "no sink is left" says less than why the first one went. But a source may be
// unavailable, too: the sinks that are left then were given up for that.
absl::Status Explain(const absl::Status& status, const BackupReport& report) {
  if (!absl::IsUnavailable(status)) return status;
  for (const SinkResult& sink : report.sinks) {
    if (sink.status == status) return status;
  }
  for (const SinkResult& sink : report.sinks) {
    if (!sink.status.ok()) {
      return absl::Status(sink.status.code(),
                          absl::StrCat("every sink failed; ", sink.name, ": ",
                                       sink.status.message()));
    }
  }
  return status;
}

absl::Status CheckSetUp(
    const std::vector<std::unique_ptr<SnapshotSource>>& sources,
    const std::vector<std::shared_ptr<SnapshotSink>>& sinks) {
  if (sources.empty()) return absl::InvalidArgumentError("backup: no source");
  if (sinks.empty()) return absl::InvalidArgumentError("backup: no sink");
  absl::flat_hash_set<std::string> names;
  for (const auto& source : sources) {
    if (!format::IsSourceName(source->name()) ||
        !names.insert(source->name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("source \"", source->name(),
                       "\": name: not [a-z0-9_-]{1,64}, or taken twice"));
    }
  }
  if (static_cast<int64_t>(sources.size()) > format::kSourcesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "backup: ", sources.size(), " sources exceed ", format::kSourcesMax));
  }
  return absl::OkStatus();
}

std::string MakeSnapshotId(int64_t unix_ms, uint64_t random) {
  return absl::StrFormat(
      "%s-%08x",
      absl::FormatTime("%Y%m%dT%H%M%SZ", absl::FromUnixMillis(unix_ms),
                       absl::UTCTimeZone()),
      static_cast<uint32_t>(random));
}

BackupOrchestrator::Options WithDefaults(BackupOrchestrator::Options options) {
  if (!options.random_bytes) options.random_bytes = crypto::RandomBytes;
  if (!options.wait) {
    options.wait = [](int64_t nanos) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(nanos));
    };
  }
  return options;
}

}  // namespace

BackupOrchestrator::BackupOrchestrator(Options options)
    : options_(WithDefaults(std::move(options))),
      clock_(options_.clock != nullptr ? options_.clock : cache::SystemClock()),
      random_(options_.random_seed != 0
                  ? options_.random_seed
                  : (uint64_t{std::random_device()()} << 32 |
                     std::random_device()())) {}

BackupOrchestrator::~BackupOrchestrator() {
  for (std::thread& thread : stuck_) thread.join();
}

void BackupOrchestrator::AddSource(std::unique_ptr<SnapshotSource> source) {
  sources_.push_back(std::move(source));
}

void BackupOrchestrator::AddSink(std::unique_ptr<SnapshotSink> sink) {
  sinks_.push_back(std::move(sink));
}

BackupReport BackupOrchestrator::Run(const BackupRequest& request) {
  BackupReport report;
  const int64_t start_nanos = clock_->NowSteadyNanos();
  report.created_unix_ms = clock_->NowUnixMillis();
  report.snapshot_id = MakeSnapshotId(report.created_unix_ms, random_());
  report.status = CheckSetUp(sources_, sinks_);
  if (report.status.ok()) {
    const absl::Status status = Transfer(request, &report);
    report.outcome = status.ok() ? Judge(report) : Outcome::kFailed;
    if (report.outcome == Outcome::kFailed) {
      report.status = Explain(
          status.ok() ? absl::UnavailableError("no sink is left") : status,
          report);
    }
  }
  report.elapsed_nanos = clock_->NowSteadyNanos() - start_nanos;
  return report;
}

// Sends each sink what it needs; none is told to finish before all have it.
absl::Status BackupOrchestrator::SendStreams(const BackupRequest& request,
                                             uint64_t stream_id,
                                             GivingWay* giving_way,
                                             FanOut* fan_out, Views* views,
                                             BackupReport* report) {
  BackupProgress progress;
  *views =
      OpenSources(sources_, {.include_blob_cache = request.include_blob_cache},
                  report, &progress);
  // Not earlier: nothing that a cache in it holds may be newer (FindAt()).
  report->created_unix_ms = clock_->NowUnixMillis();
  LARDER_RETURN_IF_ERROR(CheckSources(*report));
  LARDER_ASSIGN_OR_RETURN(
      std::vector<Stream> streams,
      PlanStreams(*views, *fan_out, *report, request.base_id,
                  [&] { return MakeHeader(*report, stream_id); }));
  if (streams.empty()) return absl::UnavailableError("no sink is left");
  LARDER_RETURN_IF_ERROR(SendHeaders(options_.keys.get(), &streams, fan_out));
  LARDER_RETURN_IF_ERROR(SendSources(views, request, &streams, giving_way,
                                     fan_out, report, &progress));
  LARDER_RETURN_IF_ERROR(SendTrailers(*report, &streams, fan_out));
  bool is_first = true;
  giving_way->End();  // What is queued, too.
  for (size_t i = 0; i < streams.size(); ++i) {
    if (!fan_out->IsAlive(i)) continue;  // Its sinks say why.
    Account(streams[i], fan_out->stream(i), *fan_out, is_first, report);
    is_first = false;
    fan_out->Finish(streams[i].sinks, streams[i].manifest);
  }
  fan_out->AwaitFinished();
  return absl::OkStatus();
}

absl::StatusOr<format::DumpHeader> BackupOrchestrator::MakeHeader(
    const BackupReport& report, uint64_t stream_id) {
  format::DumpHeader header = HeaderInTheClear(report, stream_id);
  if (options_.keys == nullptr) return header;
  LARDER_ASSIGN_OR_RETURN(const std::string salt,
                          options_.random_bytes(format::kSaltBytes));
  *header.mutable_encryption() =
      format::MakeEncryption(options_.keys->first(), salt);
  return header;
}

absl::Status BackupOrchestrator::Transfer(const BackupRequest& request,
                                          BackupReport* report) {
  for (const auto& sink : sinks_) {
    SinkResult result;
    result.name = sink->name();
    report->sinks.push_back(std::move(result));
  }
  // The sinks come first: an archive that is locked should cost no pin.
  LARDER_ASSIGN_OR_RETURN(const format::DumpHeader header,
                          MakeHeader(*report, random_()));
  const auto giving_way = std::make_shared<GivingWay>(request.background);
  Views views;
  FanOut fan_out(
      sinks_, header,
      {.queue_chunks_max = options_.queue_chunks_max,
       .stall_max = std::chrono::milliseconds(options_.sink_stall_ms_max),
       .lag_max = std::chrono::milliseconds(options_.sink_lag_ms_max),
       .zstd_level = options_.zstd_level,
       .base_wanted = {.any = !request.full, .id = request.base_id},
       .bytes_per_second_max = request.bytes_per_second_max,
       .giving_way = giving_way,
       .clock = clock_,
       .wait = options_.wait,
       .used = [&views] { return MostUsed(views); },
       .cancellation = request.cancellation});
  absl::Status status = fan_out.AwaitBegun();
  if (status.ok()) {
    status = SendStreams(request, header.stream_id(), giving_way.get(),
                         &fan_out, &views, report);
    views.clear();
  }
  if (!status.ok()) fan_out.Abort(status);
  auto stuck = fan_out.TakeStuckThreads();
  CollectSinks(sinks_, fan_out, report);
  for (auto it = stuck.rbegin(); it != stuck.rend(); ++it) {
    sinks_.erase(sinks_.begin() + static_cast<std::ptrdiff_t>(it->first));
    stuck_.push_back(std::move(it->second));
  }
  return status;
}

}  // namespace larder::backup
