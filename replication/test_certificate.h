// Certificates that are made for one test.
#ifndef LARDER_REPLICATION_TEST_CERTIFICATE_H_
#define LARDER_REPLICATION_TEST_CERTIFICATE_H_

#include <string>

namespace larder::replication {

struct TestCertificate {
  std::string certificate;  // PEM. Signed by itself, so it is its own CA.
  std::string key;          // PEM.
};

// For `name`, which is its common name and, in DNS, its alternative one.
TestCertificate MakeTestCertificate(const std::string& name);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_TEST_CERTIFICATE_H_
