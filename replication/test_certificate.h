// Certificates that are made for one test.
#ifndef LARDER_REPLICATION_TEST_CERTIFICATE_H_
#define LARDER_REPLICATION_TEST_CERTIFICATE_H_

#include <string>

namespace larder::replication {

struct TestCertificate {
  std::string certificate;  // PEM. Signed by itself, so it is its own CA.
  std::string key;          // PEM.
};

// For the common name `name`, and the alternative one "DNS:..." or "IP:...".
TestCertificate MakeTestCertificate(const std::string& name,
                                    const std::string& alternative);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_TEST_CERTIFICATE_H_
