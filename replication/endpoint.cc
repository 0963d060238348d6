#include "replication/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace larder::replication {
namespace {

constexpr size_t kHostBytesMax = 253;

bool IsName(absl::string_view host) {
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '.' || c == '-' || c == '_';
         });
}

// The address in "[...]".
bool ParseIpv6(absl::string_view host, in6_addr* address) {
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') {
    return false;
  }
  const std::string inside(host.substr(1, host.size() - 2));
  return inet_pton(AF_INET6, inside.c_str(), address) == 1;
}

}  // namespace

std::string Endpoint::Text() const { return absl::StrCat(host, ":", port); }

bool Endpoint::IsLoopback() const {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr ipv4;
  if (inet_pton(AF_INET, host.c_str(), &ipv4) == 1) {
    return (ntohl(ipv4.s_addr) >> 24) == 127;
  }
  in6_addr ipv6;
  return ParseIpv6(host, &ipv6) && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text) {
  const size_t colon = text.rfind(':');
  Endpoint endpoint;
  in6_addr ipv6;
  int port = 0;
  if (colon != absl::string_view::npos) {
    endpoint.host = std::string(text.substr(0, colon));
    const absl::string_view digits = text.substr(colon + 1);
    if ((IsName(endpoint.host) || ParseIpv6(endpoint.host, &ipv6)) &&
        !digits.empty() && absl::ascii_isdigit(digits[0]) &&
        absl::SimpleAtoi(digits, &port) && port <= 65'535) {
      endpoint.port = static_cast<uint16_t>(port);
      return endpoint;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not HOST:PORT"));
}

}  // namespace larder::replication
