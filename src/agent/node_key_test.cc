// SPDX-License-Identifier: Apache-2.0
#include "agent/node_key.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/certificate_keeper.h"
#include "agent/certificate_store.h"
#include "agent/join.h"
#include "http/openssl.h"

namespace gantry::agent {
namespace {

// openssl req -x509 -newkey ec -subj /CN=t -addext subjectAltName=DNS:n1,IP:192.0.2.7,IP:fd00::1
constexpr char kCertificate[] = R"(-----BEGIN CERTIFICATE-----
MIIBljCCATygAwIBAgIUC/EU5ayK0Z5mFbJRlNDpU7SuuAIwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBdDAgFw0yNjExMjIyMDA3MDJaGA8yMTI2MTAyOTIwMDcwMlow
DDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABE9nUEdjXFqp
lkBWX9JwFNcucR5NPWcs5DL8jri5Qd8msaRib48Cr+zUqW/cvmvEK7kC7aev2f/t
NkrMQLcMbGqjejB4MB0GA1UdDgQWBBTkTniTXAWunhxmvEr6J0ZZ2sjw/zAfBgNV
HSMEGDAWgBTkTniTXAWunhxmvEr6J0ZZ2sjw/zAPBgNVHRMBAf8EBTADAQH/MCUG
A1UdEQQeMByCAm4xhwTAAAIHhxD9AAAAAAAAAAAAAAAAAAABMAoGCCqGSM49BAMC
A0gAMEUCIH99BAOyz0ggH3+3MjT6xy6iWry7wEq1wG16uqObga+zAiEAjoFtCgTv
GssWlLc06uigp50bJl+cmHdq4jogBZVajtM=
-----END CERTIFICATE-----
)";
constexpr char kKey[] = R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBBUpqCPIkSiZ2m2j
C1ZAbI8aI2FbFsqFn249YfdX63KhRANCAARPZ1BHY1xaqZZAVl/ScBTXLnEeTT1n
LOQy/I64uUHfJrGkYm+PAq/s1Klv3L5rxCu5Au2nr9n/7TZKzEC3DGxq
-----END PRIVATE KEY-----
)";
constexpr char kPin[] = "sha256:dee375c569c06f5da10437feb890029544c526ecbadb9e2a1a10c829b626afc6";

TEST(NodeKeyTest, ACertificateTellsItsNamesAndTimes) {
  const auto facts = read_certificate(kCertificate, kKey);
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_EQ(facts->dns, std::vector<std::string>{"n1"});
  EXPECT_EQ(facts->ips, (std::vector<std::string>{"192.0.2.7", "fd00::1"}));
  EXPECT_LT(facts->not_before, facts->not_after);
}

TEST(NodeKeyTest, ARequestHasAKeyOfItsOwn) {
  const auto made = make_request(
      {.common_name = "system:node:n1", .organizations = {"system:nodes"}, .dns = {"n1"}, .ips = {"192.0.2.7"}});
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->request_pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
  EXPECT_FALSE(read_certificate(kCertificate, made->key_pem));  // another key
  EXPECT_FALSE(read_certificate("", kKey));
  EXPECT_FALSE(read_certificate(kCertificate, "no key"));
}

// Of the subject of a request; "" when there is none.
std::string common_name_of(const std::string& request_pem) {
  const http::OwnBio bio(BIO_new_mem_buf(request_pem.data(), static_cast<int>(request_pem.size())));
  const std::unique_ptr<X509_REQ, http::OpensslDelete<X509_REQ_free>> request(
      PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  char text[512] = {};
  if (request) {
    X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request.get()), NID_commonName, text, sizeof(text));
  }
  return text;
}

TEST(NodeKeyTest, ARequestHasItsNameHoweverLong) {
  for (const std::size_t size : {1, 52, 53, 63, 253}) {
    const std::string node(size, 'n'), name = "system:node:" + node;
    const auto made = make_request({.common_name = name, .organizations = {"system:nodes"}, .dns = {node}, .ips = {}});
    ASSERT_TRUE(made) << size;
    EXPECT_EQ(common_name_of(made->request_pem), name);
  }
}

TEST(NodeKeyTest, ACaIsFoundByItsPin) {
  const std::string both = std::string("noise\n") + kCertificate + kCertificate;
  EXPECT_EQ(find_pinned(both, kPin), kCertificate);
  EXPECT_EQ(find_pinned(both, "sha256:0"), "");
  EXPECT_EQ(find_pinned("nothing", kPin), "");
}

class CertificateStoreTest : public testing::Test {
 protected:
  CertificateStoreTest() {
    char folder[] = "/tmp/gantry-pki-XXXXXX";
    folder_ = std::string(::mkdtemp(folder)) + "/pki";
  }
  ~CertificateStoreTest() override { std::filesystem::remove_all(std::filesystem::path(folder_).parent_path()); }
  std::string folder_;
};

TEST_F(CertificateStoreTest, KeepsTheNewestAndTheOneBefore) {
  CertificateStore store(folder_, "kubelet-client");
  auto none = store.current();
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(store.put(kCertificate, kKey));
  auto current = store.current();
  ASSERT_TRUE(current && *current);
  EXPECT_EQ((*current)->certificate_pem, std::string(kCertificate) + kKey);
  EXPECT_TRUE(std::filesystem::is_symlink(store.current_path()));
  struct stat info{};
  ASSERT_EQ(::stat(store.current_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) files += entry.is_symlink() ? 0 : 1;
  EXPECT_EQ(files, 2U);
}

TEST_F(CertificateStoreTest, WhatIsForgottenIsNotThere) {
  CertificateStore store(folder_, "kubelet-server");
  EXPECT_TRUE(store.forget());  // there is not even a folder
  ASSERT_TRUE(store.put(kCertificate, kKey));
  ASSERT_TRUE(store.forget());
  auto none = store.current();
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
  EXPECT_TRUE(store.forget());
  ASSERT_TRUE(store.put(kCertificate, kKey));
  auto current = store.current();
  ASSERT_TRUE(current);
  EXPECT_TRUE(current->has_value());
}

TEST_F(CertificateStoreTest, WhatIsNoCertificateIsAnError) {
  std::filesystem::create_directories(folder_);
  CertificateStore store(folder_, "kubelet-server");
  std::ofstream(store.current_path()) << "half";
  EXPECT_FALSE(store.current());
}

TEST(CertificateKeeperTest, RenewsBetweenSevenAndNineTenthsOfALife) {
  using std::chrono::hours;
  const std::chrono::system_clock::time_point begin{hours(1000)};
  const CertificateFacts facts{.not_before = begin, .not_after = begin + hours(100)};
  const auto about = [](auto time, auto expected) {
    return std::chrono::abs(time - expected) < std::chrono::seconds(1);
  };
  EXPECT_TRUE(about(renewal_of(facts, 0), begin + hours(70)));
  EXPECT_TRUE(about(renewal_of(facts, 1), begin + hours(90)));
}

TEST(JoinTest, WhatIsWrongIsNamed) {
  JoinOptions good{
      .server = "https://10.0.0.1:6443", .token = "abcdef.0123456789abcdef", .ca_hash = kPin, .node_name = "n1"};
  EXPECT_TRUE(check_join(good));
  JoinOptions wrong = good;
  wrong.server = "http://10.0.0.1";  // a token is a secret
  EXPECT_FALSE(check_join(wrong));
  wrong = good;
  wrong.token = "abcdef.0123456789abcdeF";
  ASSERT_FALSE(check_join(wrong));
  EXPECT_EQ(check_join(wrong).error().message().find("abcdeF"), std::string::npos);
  wrong = good;
  wrong.ca_hash = "sha256:12";
  EXPECT_FALSE(check_join(wrong));
  wrong = good;
  wrong.node_name = "Not a name";
  EXPECT_FALSE(check_join(wrong));
}

}  // namespace
}  // namespace gantry::agent
