#include "backup/sealed_lineages.h"

#include <string>
#include <vector>

#include "backup/format/dump.pb.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

format::DumpHeader HeaderOf(const std::string& lineage, bool sealed,
                            const std::vector<std::string>& ancestors = {}) {
  format::DumpHeader header;
  if (sealed) header.mutable_encryption();
  header.add_sources()->set_kind(format::SOURCE_KIND_DIRECTORY);
  format::CacheInfo* const cache = header.add_sources()->mutable_cache();
  cache->set_lineage(lineage);
  for (const std::string& ancestor : ancestors) cache->add_ancestors(ancestor);
  return header;
}

TEST(SealedLineagesTest, TheNewestOfTheLineageCounts) {
  SealedLineages sealed;
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("a", false)));
  sealed.Add(HeaderOf("a", true));
  sealed.Add(HeaderOf("b", false));
  EXPECT_TRUE(sealed.SealedBefore(HeaderOf("a", false)));
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("b", false)));
  sealed.Add(HeaderOf("a", false));
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("a", false)));
}

TEST(SealedLineagesTest, ElseThatOfTheNearestAncestor) {
  SealedLineages sealed;
  sealed.Add(HeaderOf("far", false));
  sealed.Add(HeaderOf("near", true));
  EXPECT_TRUE(
      sealed.SealedBefore(HeaderOf("new", false, {"none", "near", "far"})));
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("new", false, {"far", "near"})));
  sealed.Add(HeaderOf("new", false));
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("new", false, {"near"})));
}

}  // namespace
}  // namespace larder::backup
