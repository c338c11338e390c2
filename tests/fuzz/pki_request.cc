// SPDX-License-Identifier: Apache-2.0
// Certificates and requests for them, as PEM texts or, when the input does not begin with a dash, as the DER in one.
#include <openssl/evp.h>

#include <string>

#include "control/pki/authority.h"
#include "control/pki/certificate.h"
#include "tests/fuzz/fuzz.h"

namespace control = gantry::control;
using gantry::fuzz::expect;

namespace {

std::string as_pem(std::string_view kind, std::string_view der) {
  std::string text(der.size() / 3 * 4 + 8, 0);
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                             reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()));
  text.resize(static_cast<std::size_t>(size));
  for (std::size_t at = 64; at < text.size(); at += 65) text.insert(at, 1, '\n');
  return gantry::cat("-----BEGIN ", kind, "-----\n", text, "\n-----END ", kind, "-----\n");
}

void expect_names(const control::AlternativeNames& names) {
  for (const auto& name : names.dns) {
    for (char c : name) expect(c > 0x20 && c < 0x7f, "a name is printable ASCII");
  }
  for (const auto& ip : names.ips) expect(!ip.empty(), "an address has a text");
}

void read(const std::string& request_pem, const std::string& certificate_pem) {
  auto request = control::read_signing_request(request_pem);
  if (request) {
    expect_names(request->names);
    expect(request->key.id().size() == 43, "its key has an id");
  } else {
    gantry::fuzz::expect_sentence(request.error());
  }
  auto all = control::split_certificates(certificate_pem);
  if (all) {
    expect(!all->empty(), "certificates are at least one");
    for (const auto& each : *all) expect(control::split_certificates(each)->size() == 1, "each is one by itself");
  } else {
    gantry::fuzz::expect_sentence(all.error());
  }
  auto certificate = control::read_certificate(certificate_pem);
  if (certificate) {
    expect_names(certificate->names);
  } else {
    gantry::fuzz::expect_sentence(certificate.error());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size > 16384) return 0;
  auto text = gantry::fuzz::text_of(bytes, size);
  if (text.starts_with('-')) {
    read(std::string(text), std::string(text));
    auto keys = control::PublicKey::read_all(text);
    if (!keys) gantry::fuzz::expect_sentence(keys.error());
  } else {
    read(as_pem("CERTIFICATE REQUEST", text), as_pem("CERTIFICATE", text));
  }
  return 0;
}
