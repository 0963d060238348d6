#include "cache/blob_cache.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/access_table.h"
#include "cache/check.h"
#include "cache/hlc.h"
#include "cache/key_locks.h"
#include "cache/l1/l1_cache.h"
#include "cache/l2/l2_store.h"
#include "cache/load_flights.h"
#include "cache/name_hash.h"
#include "cache/namespace_table.h"
#include "cache/status_macros.h"
#include "cache/striped_counter.h"

namespace larder::cache {
namespace {

// L1 entries that one purge step looks at.
constexpr int64_t kL1PurgeStep = 64;
// Tombstones of one call that go to one epoch: the journal has room for many
// such calls at once.
constexpr size_t kTombstonesAtOnce = 16;

class BlobCacheImpl : public BlobCache {
 public:
  explicit BlobCacheImpl(BlobCacheOptions options)
      : options_(std::move(options)),
        clock_(options_.clock),
        namespaces_(options_.namespaces_max),
        hlc_(clock_),
        l1_({.bytes_max = options_.l1_bytes_max, .shards = options_.l1_shards}),
        random_(options_.random_seed != 0 ? options_.random_seed
                                          : std::random_device()()) {}
  ~BlobCacheImpl() override = default;

  absl::Status OpenTiers();

  absl::StatusOr<Mutation> Put(absl::string_view ns, absl::string_view key,
                               absl::string_view bytes,
                               const PutOptions& options) override;
  std::optional<Hit> Get(absl::string_view ns, absl::string_view key) override;
  std::optional<Hit> GetRange(absl::string_view ns, absl::string_view key,
                              uint64_t offset, uint64_t length) override;
  Presence Exists(absl::string_view ns, absl::string_view key) override;
  absl::StatusOr<CompareAndSetResult> CompareAndSet(
      absl::string_view ns, absl::string_view key, uint64_t expected_version,
      absl::string_view bytes, const PutOptions& options) override;
  absl::StatusOr<Hit> GetOrLoad(absl::string_view ns, absl::string_view key,
                                const Loader& loader) override;
  absl::StatusOr<Mutation> InvalidateKey(absl::string_view ns,
                                         absl::string_view key) override;
  absl::StatusOr<Mutation> InvalidatePrefix(absl::string_view ns,
                                            absl::string_view prefix) override;
  absl::StatusOr<Mutation> InvalidateTags(
      absl::string_view ns, absl::Span<const std::string> tags) override;
  absl::StatusOr<Mutation> InvalidateDependencies(
      absl::string_view ns,
      absl::Span<const std::string> dependencies) override;
  absl::StatusOr<FlushResult> FlushNamespace(absl::string_view ns) override;
  absl::Status Flush() override;
  CacheStats Stats() const override;
  std::vector<NamespaceStats> NamespacesStats() const override;
  uint64_t CurrentGeneration(absl::string_view ns) const override;
  void ForEachL1Entry(
      absl::FunctionRef<bool(const L1EntryView&)> visit) const override;
  absl::Status ForEachL2Record(
      absl::string_view ns, absl::string_view after_key,
      absl::FunctionRef<bool(const L2RecordView&)> visit) const override;
  absl::Status L2OrphanChains(
      absl::FunctionRef<bool(const OrphanChain&)> visit) override;
  absl::StatusOr<std::unique_ptr<Snapshot>> TakeSnapshot(
      EpochLock::PinOptions options) override;
  absl::StatusOr<bool> Adopt(const StoredRecord& record, FrameSource read_frame,
                             bool may_evict) override;
  absl::Status EndHydration() override {
    return l2_ == nullptr ? absl::OkStatus() : l2_->EndHydration();
  }
  absl::StatusOr<SliceReport> SweepL1Slice(SliceLimit limit) override;
  absl::StatusOr<SliceReport> SweepDueSlice(SliceLimit limit) override;
  absl::StatusOr<SliceReport> SweepTombstonedSlice(SliceLimit limit) override;
  absl::StatusOr<SliceReport> ReclaimOrphansSlice(SliceLimit limit) override;
  absl::StatusOr<int64_t> SweepDebt() const override;
  EpochLock* epoch_lock() override {
    return l2_ != nullptr ? l2_->epoch_lock() : own_epoch_lock_.get();
  }

 private:
  // A blob on its way in. What is not put must be discarded.
  struct Incoming {
    Namespace* ns = nullptr;
    BlobAttributes attributes;
    std::optional<l2::PreparedPut> prepared;
  };
  absl::StatusOr<Incoming> Prepare(absl::string_view ns, absl::string_view key,
                                   absl::string_view bytes,
                                   const PutOptions& options);
  void Discard(const Incoming& incoming) {
    if (incoming.prepared.has_value()) l2_->Discard(*incoming.prepared);
  }
  // Makes it visible in both tiers, as of `hlc`. The caller holds the key's
  // stripe, and has since before it took the HLC.
  Mutation Place(Incoming incoming, const EpochLock::Guard& guard, Hlc hlc,
                 absl::string_view key, absl::string_view bytes);
  absl::Status AwaitDurability(const Mutation& mutation);

  bool IsServable(const Namespace& ns, absl::string_view key,
                  const BlobAttributes& a, int64_t now, int64_t last_access,
                  bool* stale) const;
  // The version that a reader would see now; 0 when absent.
  absl::StatusOr<uint64_t> CurrentVersion(const Namespace& ns,
                                          absl::string_view key);
  // `*found`: whether there is an entry, servable or not; then `*now` is when.
  std::optional<Hit> GetFromL1(const Namespace& ns, absl::string_view key,
                               bool* found, int64_t* now);
  std::optional<Hit> GetFromL2(const Namespace& ns, absl::string_view key,
                               uint64_t offset, uint64_t length);
  void Promote(const Namespace& ns, absl::string_view key, uint64_t name_hash,
               const Blob& blob, int64_t now);
  std::optional<Hit> Find(const Namespace& ns, absl::string_view key,
                          uint64_t offset, uint64_t length);
  void MakeRoomInJournal();
  absl::StatusOr<Mutation> AddTombstones(absl::string_view ns,
                                         std::vector<Tombstone> tombstones);
  bool PurgeL1(int64_t entries_max, SliceReport* report);
  double NextJitter();
  std::shared_ptr<const Blob> PutLoaded(absl::string_view ns,
                                        absl::string_view key, Loaded loaded,
                                        uint64_t begun,
                                        const LoadFlights::Flight& flight,
                                        absl::Status* status);
  // Whether nothing stands against adding it. Errors: kAborted: a damaged page
  // hides that.
  absl::StatusOr<bool> IsWanted(const Namespace& ns,
                                const StoredRecord& record) const;

  const BlobCacheOptions options_;
  Clock* const clock_;
  NamespaceTable namespaces_;
  HlcClock hlc_;
  KeyLocks key_locks_;
  AccessTable accesses_;
  LoadFlights flights_;
  l1::L1Cache l1_;
  std::unique_ptr<EpochLock> own_epoch_lock_;  // Without an L2.
  std::unique_ptr<l2::L2Store> l2_;            // Null: L1 only.

  Mutex flush_mu_;  // One flush takes the next generation at a time.
  Mutex random_mu_;
  std::mt19937_64 random_ ABSL_GUARDED_BY(random_mu_);
  // Without an L2: the HLC of the purge under way.
  Mutex own_round_mu_;
  std::optional<Hlc> own_round_ ABSL_GUARDED_BY(own_round_mu_);
  Mutex purge_mu_ ABSL_ACQUIRED_AFTER(own_round_mu_);
  uint64_t purge_cursor_ ABSL_GUARDED_BY(purge_mu_) = 0;

  mutable StripedCounter hits_l1_, hits_l2_, misses_, stale_serves_,
      insertions_, invalidations_, namespace_flushes_, version_mismatches_,
      promotions_;
};

absl::Status BlobCacheImpl::OpenTiers() {
  if (options_.l2_path.empty()) {
    own_epoch_lock_ = std::make_unique<EpochLock>(1, clock_);
    return absl::OkStatus();
  }
  const auto last_read = [this](const Namespace& ns, absl::string_view key) {
    const l1::L1Cache::Found found = l1_.Peek(ns.name(), key);
    return found.blob == nullptr ? 0 : found.last_access_unix_ms;
  };
  const auto on_removed = [this](const Namespace& ns, absl::string_view key,
                                 Hlc hlc) {
    l1_.EraseIfUnchanged(ns.name(), key, hlc);
  };
  LARDER_ASSIGN_OR_RETURN(
      l2_,
      l2::L2Store::Open(options_, {&namespaces_, &hlc_, &key_locks_, &accesses_,
                                   clock_, last_read, on_removed}));
  if (l2_->replica_note().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      options_.l2_path,
      ": is a live replica: `larder replica` serves it, and `larder promote` "
      "makes it a primary, which takes changes"));
}

double BlobCacheImpl::NextJitter() {
  MutexLock lock(&random_mu_);
  return std::uniform_real_distribution<double>(0.0, 1.0)(random_);
}

// --- Putting

absl::StatusOr<BlobCacheImpl::Incoming> BlobCacheImpl::Prepare(
    absl::string_view ns, absl::string_view key, absl::string_view bytes,
    const PutOptions& options) {
  LARDER_RETURN_IF_ERROR(ValidateKey(key));
  LARDER_RETURN_IF_ERROR(ValidatePutOptions(options));
  const int64_t bytes_max =
      options.max_blob_bytes > 0
          ? std::min(options.max_blob_bytes, kBlobBytesMax)
          : kBlobBytesMax;
  if (static_cast<int64_t>(bytes.size()) > bytes_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "put: blob: ", bytes.size(), " bytes exceeds ", bytes_max));
  }
  Incoming in;
  LARDER_ASSIGN_OR_RETURN(in.ns, namespaces_.FindOrCreate(ns));
  const double jitter = options.jitter_pct > 0 ? NextJitter() : 0.0;
  BlobAttributes& a = in.attributes;
  a.expiry = ResolveExpiry(options, clock_->NowUnixMillis(), jitter);
  a.version = options.version;
  a.priority = options.priority;
  a.l1_admission = options.l1_admission;
  a.tags = options.tags;
  a.dependencies = options.dependencies;
  a.metadata = options.metadata;
  for (const std::string& t : a.tags) {
    a.invalidation_hashes.push_back(TagHash(t));
  }
  for (const std::string& d : a.dependencies) {
    a.invalidation_hashes.push_back(DependencyHash(d));
  }
  if (l2_ != nullptr) {
    LARDER_ASSIGN_OR_RETURN(in.prepared, l2_->Prepare(*in.ns, key, bytes, a));
  }
  return in;
}

Mutation BlobCacheImpl::Place(Incoming incoming, const EpochLock::Guard& guard,
                              Hlc hlc, absl::string_view key,
                              absl::string_view bytes) {
  const Namespace& ns = *incoming.ns;
  const Mutation mutation{hlc, guard.epoch()};
  const int64_t now = clock_->NowUnixMillis();
  incoming.attributes.hlc = mutation.hlc;
  // A reader that finds nothing in L1 looks in L2. So the old value leaves L1
  // before L2 shows the new one, and the new one enters it after.
  if (l2_ != nullptr) {
    l1_.Hide(ns.name(), key);
    l2_->StagePut(guard, *std::move(incoming.prepared), mutation.hlc, now);
  }
  const bool admit =
      incoming.attributes.l1_admission != L1Admission::kNever &&
      static_cast<int64_t>(bytes.size()) <= options_.l1_bytes_max;
  if (admit) {
    l1_.Insert(ns.name(), key,
               std::make_shared<const Blob>(std::move(incoming.attributes),
                                            std::string(bytes)),
               now);
  } else {
    l1_.Erase(ns.name(), key);
  }
  flights_.Supersede(ns.name(), key);
  insertions_.Add();
  return mutation;
}

absl::Status BlobCacheImpl::AwaitDurability(const Mutation& mutation) {
  if (l2_ == nullptr || options_.durability != Durability::kEveryPut) {
    return absl::OkStatus();
  }
  return l2_->CommitThrough(mutation.epoch);
}

absl::StatusOr<Mutation> BlobCacheImpl::Put(absl::string_view ns,
                                            absl::string_view key,
                                            absl::string_view bytes,
                                            const PutOptions& options) {
  LARDER_ASSIGN_OR_RETURN(Incoming incoming, Prepare(ns, key, bytes, options));
  Mutation mutation;
  {
    MutexLock stripe(key_locks_.Of(NameHash(ns, key)));
    const EpochLock::Guard guard = epoch_lock()->Enter();
    mutation = Place(std::move(incoming), guard, hlc_.Next(), key, bytes);
  }
  LARDER_RETURN_IF_ERROR(AwaitDurability(mutation));
  return mutation;
}

absl::StatusOr<uint64_t> BlobCacheImpl::CurrentVersion(const Namespace& ns,
                                                       absl::string_view key) {
  const int64_t now = clock_->NowUnixMillis();
  bool stale;
  if (l2_ == nullptr) {
    const l1::L1Cache::Found found = l1_.Peek(ns.name(), key);
    const bool servable = found.blob != nullptr &&
                          IsServable(ns, key, found.blob->attributes(), now,
                                     found.last_access_unix_ms, &stale);
    return servable ? found.blob->attributes().version : 0;
  }
  const auto reading = l2_->EnterRead();
  std::optional<l2::Record> record;
  LARDER_RETURN_IF_ERROR(l2_->FindRecord(ns, key, ns.HashOf(key), &record));
  return record.has_value() && l2_->IsServable(ns, key, *record, now)
             ? record->version
             : 0;
}

absl::StatusOr<CompareAndSetResult> BlobCacheImpl::CompareAndSet(
    absl::string_view ns, absl::string_view key, uint64_t expected_version,
    absl::string_view bytes, const PutOptions& options) {
  LARDER_ASSIGN_OR_RETURN(Incoming incoming, Prepare(ns, key, bytes, options));
  CompareAndSetResult result;
  {
    MutexLock stripe(key_locks_.Of(NameHash(ns, key)));
    const EpochLock::Guard guard = epoch_lock()->Enter();
    uint64_t begun;
    Hlc hlc;
    do {
      begun = incoming.ns->invalidations();
      const absl::StatusOr<uint64_t> current =
          CurrentVersion(*incoming.ns, key);
      if (!current.ok() || *current != expected_version) {
        Discard(incoming);
        LARDER_RETURN_IF_ERROR(current.status());
        version_mismatches_.Add();
        result.current_version = *current;
        return result;
      }
      hlc = hlc_.Next();
    } while (incoming.ns->invalidations() != begun);
    result.mutation = Place(std::move(incoming), guard, hlc, key, bytes);
  }
  result.committed = true;
  result.current_version = options.version;
  LARDER_RETURN_IF_ERROR(AwaitDurability(result.mutation));
  return result;
}

// --- Getting

bool BlobCacheImpl::IsServable(const Namespace& ns, absl::string_view key,
                               const BlobAttributes& a, int64_t now,
                               int64_t last_access, bool* stale) const {
  const Liveness liveness = Judge(a.expiry, now, last_access);
  *stale = liveness == Liveness::kStale;
  return liveness != Liveness::kDead &&
         ns.IsValid(key, a.hlc, a.invalidation_hashes);
}

std::optional<Hit> BlobCacheImpl::GetFromL1(const Namespace& ns,
                                            absl::string_view key, bool* found,
                                            int64_t* now) {
  l1::L1Cache::Found entry = l1_.Get(ns.name(), key, clock_);
  *found = entry.blob != nullptr;
  if (!*found) return std::nullopt;
  *now = entry.now_unix_ms;
  const BlobAttributes& a = entry.blob->attributes();
  bool stale;
  if (!IsServable(ns, key, a, *now, entry.last_access_unix_ms, &stale)) {
    l1_.EraseIfUnchanged(ns.name(), key, a.hlc);
    return std::nullopt;
  }
  return Hit(std::move(entry.blob), Tier::kL1, stale);
}

std::optional<Hit> BlobCacheImpl::GetFromL2(const Namespace& ns,
                                            absl::string_view key,
                                            uint64_t offset, uint64_t length) {
  std::shared_ptr<const Blob> blob;
  bool stale = false;
  const uint64_t hash = ns.HashOf(key);
  int64_t now;
  {
    const auto reading = l2_->EnterRead();
    // Damage is counted by the store, and a miss to the caller.
    std::optional<l2::Record> found;
    l2_->FindRecord(ns, key, hash, &found).IgnoreError();
    if (!found.has_value()) return std::nullopt;
    const l2::Record& record = *found;
    l2_->Prefetch(record);
    accesses_.Prefetch(hash);
    now = clock_->NowUnixMillis();
    if (!l2_->IsServable(ns, key, record, now)) return std::nullopt;
    stale = record.expiry.expires_at_unix_ms != 0 &&
            now >= record.expiry.expires_at_unix_ms;
    absl::StatusOr<std::shared_ptr<const Blob>> loaded =
        l2_->Load(hash, record, offset, length);
    if (!loaded.ok()) return std::nullopt;
    blob = *std::move(loaded);
  }
  const bool second_hit = accesses_.LastAccess(hash) != 0;
  accesses_.Note(hash, now);
  if (second_hit && length == UINT64_MAX) Promote(ns, key, hash, *blob, now);
  return Hit(std::move(blob), Tier::kL2, stale);
}

void BlobCacheImpl::Promote(const Namespace& ns, absl::string_view key,
                            uint64_t name_hash, const Blob& blob, int64_t now) {
  const BlobAttributes& a = blob.attributes();
  if (a.l1_admission == L1Admission::kNever ||
      static_cast<int64_t>(blob.bytes().size()) >
          options_.l1_bytes_max / options_.l1_shards) {
    return;
  }
  auto copy = std::make_shared<const Blob>(a, std::string(blob.bytes()));
  MutexLock stripe(key_locks_.Of(name_hash));
  // Inside the epoch, so that a purge of L1 can wait for it.
  const EpochLock::Guard guard = epoch_lock()->Enter();
  const auto reading = l2_->EnterRead();
  std::optional<l2::Record> current;
  l2_->FindRecord(ns, key, name_hash, &current).IgnoreError();
  if (!current.has_value() || current->hlc != a.hlc) return;
  if (l1_.Insert(ns.name(), key, std::move(copy), now)) promotions_.Add();
}

std::optional<Hit> BlobCacheImpl::Find(const Namespace& ns,
                                       absl::string_view key, uint64_t offset,
                                       uint64_t length) {
  bool in_l1;
  int64_t now;
  std::optional<Hit> hit = GetFromL1(ns, key, &in_l1, &now);
  if (!in_l1) {
    if (l2_ != nullptr) hit = GetFromL2(ns, key, offset, length);
    return hit;
  }
  if (!hit.has_value()) return hit;
  if (hit->attributes().expiry.idle_ttl_ms > 0) {
    accesses_.Note(ns.HashOf(key), now);
  }
  const uint64_t size = hit->bytes().size();
  if (offset == 0 && length >= size) return hit;
  const absl::string_view part =
      hit->bytes().substr(std::min(offset, size), length);
  return Hit(std::make_shared<const Blob>(hit->attributes(), part, hit->blob()),
             Tier::kL1, hit->stale());
}

std::optional<Hit> BlobCacheImpl::GetRange(absl::string_view ns_name,
                                           absl::string_view key,
                                           uint64_t offset, uint64_t length) {
  const Namespace* ns = namespaces_.Find(ns_name);
  std::optional<Hit> hit;
  if (ns != nullptr) {
    uint64_t retirements;
    do {
      retirements = ns->retirements();
      hit = Find(*ns, key, offset, length);
    } while (hit.has_value() && ns->retirements() != retirements);
  }
  if (!hit.has_value()) {
    misses_.Add();
    return hit;
  }
  (hit->tier() == Tier::kL1 ? hits_l1_ : hits_l2_).Add();
  if (hit->stale()) stale_serves_.Add();
  return hit;
}

std::optional<Hit> BlobCacheImpl::Get(absl::string_view ns,
                                      absl::string_view key) {
  return GetRange(ns, key, 0, UINT64_MAX);
}

Presence BlobCacheImpl::Exists(absl::string_view ns_name,
                               absl::string_view key) {
  const Namespace* ns = namespaces_.Find(ns_name);
  if (ns == nullptr) return Presence::kAbsent;
  const int64_t now = clock_->NowUnixMillis();
  bool stale;
  if (const l1::L1Cache::Found found = l1_.Peek(ns_name, key);
      found.blob != nullptr) {
    return IsServable(*ns, key, found.blob->attributes(), now,
                      found.last_access_unix_ms, &stale)
               ? Presence::kPresent
               : Presence::kAbsent;
  }
  if (l2_ == nullptr) return Presence::kAbsent;
  if (std::optional<l2::Record> staged; l2_->FindStaged(*ns, key, &staged)) {
    return staged.has_value() && l2_->IsServable(*ns, key, *staged, now)
               ? Presence::kPresent
               : Presence::kAbsent;
  }
  return l2_->MayContain(*ns, key, ns->HashOf(key)) ? Presence::kMaybePresent
                                                    : Presence::kAbsent;
}

// --- Loading

// Puts what was loaded unless the key changed, or anything of the namespace
// was invalidated, since the load began. Returns the blob for those who wait,
// put or not.
std::shared_ptr<const Blob> BlobCacheImpl::PutLoaded(
    absl::string_view ns, absl::string_view key, Loaded loaded, uint64_t begun,
    const LoadFlights::Flight& flight, absl::Status* status) {
  absl::StatusOr<Incoming> incoming =
      Prepare(ns, key, loaded.bytes, loaded.options);
  BlobAttributes attributes;
  if (incoming.ok()) attributes = incoming->attributes;
  if (!incoming.ok() && !absl::IsInvalidArgument(incoming.status())) {
    // The cache is full or degraded; the caller still gets what was loaded.
    attributes.version = loaded.options.version;
  } else if (!incoming.ok()) {
    *status = incoming.status();
    return nullptr;
  }
  if (incoming.ok()) {
    MutexLock stripe(key_locks_.Of(NameHash(ns, key)));
    const EpochLock::Guard guard = epoch_lock()->Enter();
    const Hlc hlc = hlc_.Next();
    if (flight.superseded() || incoming->ns->invalidations() != begun) {
      Discard(*incoming);
    } else {
      attributes.hlc =
          Place(*std::move(incoming), guard, hlc, key, loaded.bytes).hlc;
    }
  }
  return std::make_shared<const Blob>(std::move(attributes),
                                      std::move(loaded.bytes));
}

absl::StatusOr<Hit> BlobCacheImpl::GetOrLoad(absl::string_view ns,
                                             absl::string_view key,
                                             const Loader& loader) {
  LARDER_RETURN_IF_ERROR(ValidateNamespace(ns));
  LARDER_RETURN_IF_ERROR(ValidateKey(key));
  if (std::optional<Hit> hit = Get(ns, key)) return *std::move(hit);
  // Of any blob of the namespace: a load that one overlaps is not put.
  const Namespace* space = namespaces_.Find(ns);
  const uint64_t begun = space == nullptr ? 0 : space->invalidations();
  bool leader;
  const std::shared_ptr<LoadFlights::Flight> flight =
      flights_.Join(ns, key, begun, &leader);
  LoadFlights::Result result;
  if (!leader) {
    result = flights_.Wait(flight);
  } else {
    absl::StatusOr<Loaded> loaded = loader();
    absl::Status status = loaded.status();
    std::shared_ptr<const Blob> blob;
    if (loaded.ok()) {
      blob = PutLoaded(ns, key, *std::move(loaded), begun, *flight, &status);
    }
    result = blob != nullptr ? LoadFlights::Result(blob)
                             : LoadFlights::Result(status);
    flights_.Land(ns, key, flight, result);
  }
  LARDER_RETURN_IF_ERROR(result.status());
  return Hit(*std::move(result), Tier::kL1, /*stale=*/false);
}

// --- Invalidating

// A commit that fails says nothing of the change to come: whether the journal
// takes that one, it says itself.
void BlobCacheImpl::MakeRoomInJournal() {
  if (l2_ != nullptr) l2_->MakeRoomInJournal().IgnoreError();
}

absl::StatusOr<Mutation> BlobCacheImpl::InvalidateKey(absl::string_view ns_name,
                                                      absl::string_view key) {
  LARDER_RETURN_IF_ERROR(ValidateNamespace(ns_name));
  LARDER_RETURN_IF_ERROR(ValidateKey(key));
  MakeRoomInJournal();
  Mutation mutation;
  {
    MutexLock stripe(key_locks_.Of(NameHash(ns_name, key)));
    const EpochLock::Guard guard = epoch_lock()->Enter();
    mutation = {hlc_.Next(), guard.epoch()};
    const Namespace* ns = namespaces_.Find(ns_name);
    if (ns == nullptr && l2_ != nullptr && l2_->hydration_floor().value != 0) {
      // The snapshot may have it.
      LARDER_ASSIGN_OR_RETURN(ns, namespaces_.FindOrCreate(ns_name));
    }
    if (ns != nullptr) {
      // L1 first, as in Place().
      l1_.Erase(ns_name, key);
      if (l2_ != nullptr) {
        LARDER_RETURN_IF_ERROR(l2_->StageRemove(guard, *ns, key, mutation.hlc,
                                                /*journal=*/true));
      }
    }
    flights_.Supersede(ns_name, key);
  }
  invalidations_.Add();
  LARDER_RETURN_IF_ERROR(AwaitDurability(mutation));
  return mutation;
}

absl::StatusOr<Mutation> BlobCacheImpl::AddTombstones(
    absl::string_view ns_name, std::vector<Tombstone> tombstones) {
  LARDER_ASSIGN_OR_RETURN(Namespace * ns, namespaces_.FindOrCreate(ns_name));
  LARDER_RETURN_IF_ERROR(
      ns->CheckRoom(static_cast<int64_t>(tombstones.size())));
  Mutation mutation;
  absl::Span<Tombstone> left = absl::MakeSpan(tombstones);
  do {
    const absl::Span<Tombstone> some = left.subspan(0, kTombstonesAtOnce);
    left.remove_prefix(some.size());
    MakeRoomInJournal();
    const EpochLock::Guard guard = epoch_lock()->Enter();
    ns->BeginInvalidation();
    mutation = {hlc_.Next(), guard.epoch()};
    for (Tombstone& t : some) {
      t.ns = std::string(ns_name);
      t.hlc = mutation.hlc;
      // In the journal before it shows: what was seen gone stays gone.
      if (l2_ != nullptr) {
        LARDER_RETURN_IF_ERROR(l2_->StageTombstone(guard, t, 0));
      }
      ns->Add(t);
    }
  } while (!left.empty());
  invalidations_.Add();
  LARDER_RETURN_IF_ERROR(AwaitDurability(mutation));
  return mutation;
}

absl::StatusOr<Mutation> BlobCacheImpl::InvalidatePrefix(
    absl::string_view ns, absl::string_view prefix) {
  if (prefix.empty() || prefix.size() > static_cast<size_t>(kKeyBytesMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalidate: prefix: ", prefix.size(), " bytes vs 1 to ",
                     kKeyBytesMax));
  }
  return AddTombstones(
      ns, {{TombstoneKind::kPrefix, "", std::string(prefix), Hlc()}});
}

std::vector<Tombstone> HashedTombstones(TombstoneKind kind,
                                        absl::Span<const std::string> values,
                                        uint64_t (*hash)(absl::string_view)) {
  std::vector<Tombstone> out;
  for (const std::string& value : values) {
    const uint64_t h = hash(value);
    out.push_back({kind, "",
                   std::string(reinterpret_cast<const char*>(&h), sizeof(h)),
                   Hlc()});
  }
  return out;
}

absl::StatusOr<Mutation> BlobCacheImpl::InvalidateTags(
    absl::string_view ns, absl::Span<const std::string> tags) {
  return AddTombstones(ns,
                       HashedTombstones(TombstoneKind::kTag, tags, TagHash));
}

absl::StatusOr<Mutation> BlobCacheImpl::InvalidateDependencies(
    absl::string_view ns, absl::Span<const std::string> dependencies) {
  return AddTombstones(ns, HashedTombstones(TombstoneKind::kDependency,
                                            dependencies, DependencyHash));
}

absl::StatusOr<BlobCache::FlushResult> BlobCacheImpl::FlushNamespace(
    absl::string_view ns_name) {
  LARDER_ASSIGN_OR_RETURN(Namespace * ns, namespaces_.FindOrCreate(ns_name));
  MakeRoomInJournal();
  FlushResult result;
  {
    MutexLock lock(&flush_mu_);
    const EpochLock::Guard guard = epoch_lock()->Enter();
    ns->BeginInvalidation();
    result.mutation = {hlc_.Next(), guard.epoch()};
    result.generation_before = ns->generation();
    result.generation_after = result.generation_before + 1;
    if (l2_ != nullptr) {
      LARDER_RETURN_IF_ERROR(l2_->StageTombstone(
          guard,
          {TombstoneKind::kNamespace, ns->name(), "", result.mutation.hlc},
          result.generation_after));
    }
    ns->Flush(result.mutation.hlc, result.generation_after);
  }
  namespace_flushes_.Add();
  LARDER_RETURN_IF_ERROR(AwaitDurability(result.mutation));
  return result;
}

absl::Status BlobCacheImpl::Flush() {
  return l2_ == nullptr ? absl::OkStatus() : l2_->CommitNow();
}

// --- Looking

CacheStats BlobCacheImpl::Stats() const {
  CacheStats s;
  s.hits_l1 = hits_l1_.value();
  s.hits_l2 = hits_l2_.value();
  s.misses = misses_.value();
  s.stale_serves = stale_serves_.value();
  s.insertions = insertions_.value();
  s.invalidations = invalidations_.value();
  s.namespace_flushes = namespace_flushes_.value();
  s.version_mismatches = version_mismatches_.value();
  s.promotions = promotions_.value();
  s.l1 = l1_.Stats();
  if (l2_ != nullptr) s.l2 = l2_->Stats();
  return s;
}

std::vector<NamespaceStats> BlobCacheImpl::NamespacesStats() const {
  std::vector<NamespaceStats> all;
  for (const Namespace* ns : namespaces_.All()) {
    NamespaceStats s;
    s.name = ns->name();
    s.generation = ns->generation();
    s.flushed_at = ns->flushed_at();
    if (l2_ != nullptr) l2_->FillNamespaceStats(&s);
    all.push_back(std::move(s));
  }
  return all;
}

uint64_t BlobCacheImpl::CurrentGeneration(absl::string_view ns_name) const {
  const Namespace* ns = namespaces_.Find(ns_name);
  return ns == nullptr ? 0 : ns->generation();
}

void BlobCacheImpl::ForEachL1Entry(
    absl::FunctionRef<bool(const L1EntryView&)> visit) const {
  l1_.ForEach([&](const l1::L1Cache::EntryView& e) {
    return visit({e.ns, e.key, e.blob, e.last_access_unix_ms});
  });
}

absl::Status BlobCacheImpl::ForEachL2Record(
    absl::string_view ns, absl::string_view after_key,
    absl::FunctionRef<bool(const L2RecordView&)> visit) const {
  return l2_ == nullptr ? absl::OkStatus()
                        : l2_->ForEachRecord(ns, after_key, visit);
}

absl::Status BlobCacheImpl::L2OrphanChains(
    absl::FunctionRef<bool(const OrphanChain&)> visit) {
  return l2_ == nullptr ? absl::OkStatus() : l2_->ForEachOrphan(visit);
}

absl::StatusOr<std::unique_ptr<Snapshot>> BlobCacheImpl::TakeSnapshot(
    EpochLock::PinOptions options) {
  if (l2_ == nullptr) {
    return absl::FailedPreconditionError("snapshot: the cache has no L2");
  }
  return l2_->TakeSnapshot(std::move(options));
}

// --- Hydrating

absl::StatusOr<bool> BlobCacheImpl::IsWanted(const Namespace& ns,
                                             const StoredRecord& record) const {
  const BlobAttributes& a = record.attributes;
  if (Judge(a.expiry, clock_->NowUnixMillis(), record.last_access_unix_ms) ==
          Liveness::kDead ||
      !ns.IsValid(record.key, a.hlc, a.invalidation_hashes)) {
    return false;
  }
  const auto reading = l2_->EnterRead();
  std::optional<l2::Record> current;
  const absl::Status found =
      l2_->FindRecord(ns, record.key, ns.HashOf(record.key), &current);
  if (!found.ok()) return absl::AbortedError(found.message());
  return !current.has_value();
}

absl::StatusOr<bool> BlobCacheImpl::Adopt(const StoredRecord& record,
                                          FrameSource read_frame,
                                          bool may_evict) {
  const Hlc floor = l2_ == nullptr ? Hlc() : l2_->hydration_floor();
  if (floor.value == 0) {
    return absl::FailedPreconditionError("adopt: the L2 is not hydrating");
  }
  if (record.attributes.hlc > floor) {
    return absl::InvalidArgumentError(
        absl::StrCat("adopt: hlc ", record.attributes.hlc.value,
                     " vs at most the snapshot's ", floor.value));
  }
  LARDER_ASSIGN_OR_RETURN(const Namespace* ns,
                          namespaces_.FindOrCreate(record.ns));
  LARDER_ASSIGN_OR_RETURN(bool wanted, IsWanted(*ns, record));
  if (!wanted) return false;
  LARDER_ASSIGN_OR_RETURN(l2::PreparedPut put,
                          l2_->PrepareStored(record, read_frame, may_evict));
  MutexLock stripe(key_locks_.Of(ns->HashOf(record.key)));
  const EpochLock::Guard guard = epoch_lock()->Enter();
  // A tombstone that comes now is newer than the record: readers ask it.
  const absl::StatusOr<bool> still = IsWanted(*ns, record);
  if (!still.ok() || !*still) {
    l2_->Discard(put);
    return still;
  }
  l2_->StageStored(guard, std::move(put));
  return true;
}

// --- Sweeping

absl::StatusOr<SliceReport> BlobCacheImpl::SweepL1Slice(SliceLimit limit) {
  SliceReport report;
  const EpochLock::Guard guard = epoch_lock()->Enter();
  report.scanned = l1_.SweepDue(
      clock_->NowUnixMillis(), limit.entries_max,
      [&](const l1::L1Cache::EntryView& e) {
        report.AddRemoved(e.ns, static_cast<int64_t>(e.blob->MemoryBytes()));
      });
  report.done = report.scanned < limit.entries_max;
  return report;
}

absl::StatusOr<SliceReport> BlobCacheImpl::SweepDueSlice(SliceLimit limit) {
  if (l2_ != nullptr) return l2_->SweepDueSlice(limit);
  SliceReport report;
  report.done = true;
  return report;
}

bool BlobCacheImpl::PurgeL1(int64_t entries_max, SliceReport* report) {
  MutexLock lock(&purge_mu_);
  report->scanned += l1_.SweepWhere(
      &purge_cursor_, std::min(entries_max, kL1PurgeStep),
      [&](const l1::L1Cache::EntryView& e) {
        const Namespace* ns = namespaces_.Find(e.ns);
        const BlobAttributes& a = e.blob->attributes();
        if (ns != nullptr && ns->IsValid(e.key, a.hlc, a.invalidation_hashes)) {
          return false;
        }
        report->AddRemoved(e.ns, static_cast<int64_t>(e.blob->MemoryBytes()));
        return true;
      });
  return purge_cursor_ == 0;
}

absl::StatusOr<SliceReport> BlobCacheImpl::SweepTombstonedSlice(
    SliceLimit limit) {
  const auto purge_l1 = [this](int64_t entries_max, SliceReport* report) {
    return PurgeL1(entries_max, report);
  };
  if (l2_ != nullptr) return l2_->SweepTombstonedSlice(limit, purge_l1);
  SliceReport report;
  MutexLock lock(&own_round_mu_);
  if (!own_round_.has_value()) {
    const std::vector<Namespace*> all = namespaces_.All();
    report.done = std::none_of(all.begin(), all.end(),
                               [](Namespace* ns) { return ns->NeedsPurge(); });
    if (report.done) return report;
    const Hlc round_hlc = hlc_.Last();
    // Puts older than that are in place once their epoch has drained; one that
    // did not in time is closed already, and comes first.
    const uint64_t open = own_epoch_lock_->current_epoch();
    for (uint64_t closed = 0; closed < open;) {
      LARDER_ASSIGN_OR_RETURN(
          closed, own_epoch_lock_->Advance(options_.epoch_timeout_ms));
    }
    own_round_ = round_hlc;
  }
  report.done = PurgeL1(limit.entries_max, &report);
  if (!report.done) return report;
  for (Namespace* ns : namespaces_.All()) {
    ns->set_purged_through(*own_round_);
    for (const Tombstone& t : ns->Tombstones()) {
      if (t.hlc <= *own_round_) ns->Retire(t);
    }
  }
  own_round_.reset();
  return report;
}

absl::StatusOr<SliceReport> BlobCacheImpl::ReclaimOrphansSlice(
    SliceLimit limit) {
  if (l2_ != nullptr) return l2_->ReclaimOrphansSlice(limit);
  SliceReport report;
  report.done = true;
  return report;
}

absl::StatusOr<int64_t> BlobCacheImpl::SweepDebt() const {
  return l2_ == nullptr ? 0 : l2_->SweepDebt();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::Open(
    BlobCacheOptions options) {
  if (options.clock == nullptr) options.clock = SystemClock();
  if (options.file_system == nullptr) {
    options.file_system = l2::PosixFileSystem();
  }
  const auto positive = [](absl::string_view name, int64_t value) {
    return value > 0 ? absl::OkStatus()
                     : absl::InvalidArgumentError(
                           absl::StrCat(name, ": ", value, " vs at least 1"));
  };
  LARDER_RETURN_IF_ERROR(positive("l1_bytes_max", options.l1_bytes_max));
  LARDER_RETURN_IF_ERROR(positive("namespaces_max", options.namespaces_max));
  LARDER_RETURN_IF_ERROR(
      positive("commit_interval_ms", options.commit_interval_ms));
  LARDER_RETURN_IF_ERROR(
      positive("epoch_timeout_ms", options.epoch_timeout_ms));
  LARDER_RETURN_IF_ERROR(positive("decode_threads", options.decode_threads));
  if (options.l1_shards < 1 ||
      (options.l1_shards & (options.l1_shards - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("l1_shards: ", options.l1_shards, " vs a power of two"));
  }
  auto cache = std::make_unique<BlobCacheImpl>(std::move(options));
  LARDER_RETURN_IF_ERROR(cache->OpenTiers());
  return std::unique_ptr<BlobCache>(std::move(cache));
}

}  // namespace larder::cache
