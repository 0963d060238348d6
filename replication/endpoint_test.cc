#include "replication/endpoint.h"

#include "gtest/gtest.h"

namespace larder::replication {
namespace {

TEST(EndpointTest, ComesBack) {
  for (const char* text :
       {"localhost:1", "127.0.0.1:0", "[::1]:65535", "a-b.example:7070"}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(endpoint->Text(), text);
  }
}

TEST(EndpointTest, RefusesWhatIsNone) {
  for (const char* text : {"", ":", "host", "host:", ":1", "host:x", "host:-1",
                           "host:+1", "host:65536", "::1:5", "[::1]", "a b:1",
                           "unix:/tmp/x", "[host]:1", "http://host:1"}) {
    EXPECT_FALSE(ParseEndpoint(text).ok()) << text;
  }
}

TEST(EndpointTest, KnowsLoopback) {
  for (const char* text : {"localhost:1", "LocalHost:1", "127.0.0.1:1",
                           "127.9.9.9:1", "[::1]:1"}) {
    EXPECT_TRUE(ParseEndpoint(text)->IsLoopback()) << text;
  }
  // A name may lead anywhere, whatever it looks like.
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1",
                           "127.0.0.1.example:1", "localhost.example:1"}) {
    EXPECT_FALSE(ParseEndpoint(text)->IsLoopback()) << text;
  }
}

}  // namespace
}  // namespace larder::replication
