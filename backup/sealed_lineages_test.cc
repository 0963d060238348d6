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

TEST(SealedLineagesTest, AnySealedOneOfTheLineageCounts) {
  SealedLineages sealed;
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("a", false)));
  sealed.Add(HeaderOf("a", true));
  sealed.Add(HeaderOf("b", false));
  EXPECT_TRUE(sealed.SealedBefore(HeaderOf("a", false)));
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("b", false)));
  // Also behind one in the clear: it may have been the mistake.
  sealed.Add(HeaderOf("a", false));
  EXPECT_TRUE(sealed.SealedBefore(HeaderOf("a", false)));
}

TEST(SealedLineagesTest, SoDoesOneOfAnAncestor) {
  SealedLineages sealed;
  sealed.Add(HeaderOf("near", false));
  sealed.Add(HeaderOf("far", true));
  sealed.Add(HeaderOf("new", false, {"near", "far"}));
  EXPECT_TRUE(
      sealed.SealedBefore(HeaderOf("new", false, {"none", "near", "far"})));
  EXPECT_FALSE(sealed.SealedBefore(HeaderOf("new", false, {"none", "near"})));
  EXPECT_FALSE(sealed.SealedBefore(format::DumpHeader()));
}

}  // namespace
}  // namespace larder::backup
