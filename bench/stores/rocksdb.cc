#include "bench/stores/rocksdb.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/backup_engine.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::bench {
namespace {

constexpr double kBloomBitsPerKey = 10;
constexpr uint64_t kBlobBytesMin = 512;

absl::Status FromRocks(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("rocksdb: ", status.ToString()));
}

rocksdb::Slice SliceOf(absl::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

class RocksDb : public Store {
 public:
  absl::Status Open(const RocksDbOptions& options) {
    rocksdb::Options o;
    o.create_if_missing = true;
    o.compression = rocksdb::kNoCompression;
    rocksdb::BlockBasedTableOptions table;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kBloomBitsPerKey));
    o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    o.enable_blob_files = options.blobs;
    o.min_blob_size = kBlobBytesMin;
    o.enable_blob_garbage_collection = options.blobs;
    blobs_ = options.blobs;
    write_.sync = options.sync;
    write_.disableWAL = !options.wal;
    rocksdb::DB* db;
    LARDER_RETURN_IF_ERROR(FromRocks(rocksdb::DB::Open(o, options.dir, &db)));
    db_.reset(db);
    return absl::OkStatus();
  }

  std::string name() const override {
    return absl::StrCat(blobs_ ? "rocksdb blobdb" : "rocksdb",
                        write_.disableWAL ? ", no WAL" : "");
  }

  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    return FromRocks(db_->Put(write_, SliceOf(key), SliceOf(bytes)));
  }

  bool Get(absl::string_view key, Use use) override {
    rocksdb::PinnableSlice value;
    const rocksdb::Status status =
        db_->Get(rocksdb::ReadOptions(), db_->DefaultColumnFamily(),
                 SliceOf(key), &value);
    if (!status.ok()) return false;
    use({value.data(), value.size()});
    return true;
  }

  absl::Status Settle() override {
    LARDER_RETURN_IF_ERROR(FromRocks(db_->Flush(rocksdb::FlushOptions())));
    return FromRocks(
        db_->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr));
  }

  absl::Status BackUp(const std::string& dir) {
    rocksdb::BackupEngineOptions options(dir);
    options.sync = false;
    rocksdb::BackupEngine* opened;
    LARDER_RETURN_IF_ERROR(FromRocks(rocksdb::BackupEngine::Open(
        options, rocksdb::Env::Default(), &opened)));
    const std::unique_ptr<rocksdb::BackupEngine> engine(opened);
    return FromRocks(engine->CreateNewBackup(db_.get()));
  }

 private:
  bool blobs_ = false;
  rocksdb::WriteOptions write_;
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenRocksDb(
    const RocksDbOptions& options) {
  auto store = std::make_unique<RocksDb>();
  LARDER_RETURN_IF_ERROR(store->Open(options));
  return std::unique_ptr<Store>(std::move(store));
}

absl::Status BackUpRocksDb(Store* rocksdb, const std::string& dir) {
  return static_cast<RocksDb*>(rocksdb)->BackUp(dir);
}

}  // namespace larder::bench
