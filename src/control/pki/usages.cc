// SPDX-License-Identifier: Apache-2.0
#include "control/pki/usages.h"

#include <algorithm>
#include <iterator>

namespace gantry::control {
namespace {

struct KeyUse {
  const char* word;
  const char* openssl;
  std::uint32_t bit;
};
constexpr KeyUse kKeyUses[] = {
    {"digital signature", "digitalSignature", KU_DIGITAL_SIGNATURE},
    {"signing", "digitalSignature", KU_DIGITAL_SIGNATURE},
    {"content commitment", "nonRepudiation", KU_NON_REPUDIATION},
    {"key encipherment", "keyEncipherment", KU_KEY_ENCIPHERMENT},
    {"data encipherment", "dataEncipherment", KU_DATA_ENCIPHERMENT},
    {"key agreement", "keyAgreement", KU_KEY_AGREEMENT},
    {"cert sign", "keyCertSign", KU_KEY_CERT_SIGN},
    {"crl sign", "cRLSign", KU_CRL_SIGN},
    {"encipher only", "encipherOnly", KU_ENCIPHER_ONLY},
    {"decipher only", "decipherOnly", KU_DECIPHER_ONLY},
};

struct ExtendedUse {
  const char* word;
  const char* openssl;
  int kind;
};
constexpr ExtendedUse kExtendedUses[] = {
    {"any", "anyExtendedKeyUsage", NID_anyExtendedKeyUsage},
    {"server auth", "serverAuth", NID_server_auth},
    {"client auth", "clientAuth", NID_client_auth},
    {"code signing", "codeSigning", NID_code_sign},
    {"email protection", "emailProtection", NID_email_protect},
    {"s/mime", "emailProtection", NID_email_protect},
    {"ipsec end system", "ipsecEndSystem", NID_ipsecEndSystem},
    {"ipsec tunnel", "ipsecTunnel", NID_ipsecTunnel},
    {"ipsec user", "ipsecUser", NID_ipsecUser},
    {"timestamping", "timeStamping", NID_time_stamp},
    {"ocsp signing", "OCSPSigning", NID_OCSP_sign},
    {"microsoft sgc", "msSGC", NID_ms_sgc},
    {"netscape sgc", "nsSGC", NID_ns_sgc},
};

void append(std::string& list, std::string_view one) {
  if (!list.empty()) list += ',';
  list += one;
}

}  // namespace

std::vector<std::string> read_usages(X509* certificate) {
  std::vector<std::string> words;
  // Without the extension all bits are set.
  std::uint32_t bits = X509_get_key_usage(certificate);
  if (bits != UINT32_MAX) {
    std::uint32_t named = 0;  // two words mean the same: the first is it
    for (const auto& use : kKeyUses) {
      if ((bits & use.bit & ~named) != 0) words.emplace_back(use.word);
      named |= use.bit;
    }
  }
  OwnUsages extended(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(certificate, NID_ext_key_usage, nullptr, nullptr)));
  for (int i = 0; extended && i < sk_ASN1_OBJECT_num(extended.get()); ++i) {
    int kind = OBJ_obj2nid(sk_ASN1_OBJECT_value(extended.get(), i));
    auto found = std::ranges::find(kExtendedUses, kind, &ExtendedUse::kind);
    if (kind != NID_undef && found != std::end(kExtendedUses)) words.emplace_back(found->word);
  }
  return words;
}

Result<UsageTexts> usage_texts(const std::vector<std::string>& usages) {
  UsageTexts texts;
  for (const std::string& word : usages) {
    auto key = std::ranges::find(kKeyUses, word, &KeyUse::word);
    auto extended = std::ranges::find(kExtendedUses, word, &ExtendedUse::word);
    if (key != std::end(kKeyUses)) {
      append(texts.key, key->openssl);
    } else if (extended != std::end(kExtendedUses)) {
      append(texts.extended, extended->openssl);
    } else {
      return invalid_argument(cat("certificate usage ", quoted(word), ": not a known one"));
    }
  }
  return texts;
}

}  // namespace gantry::control
