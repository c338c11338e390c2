// SPDX-License-Identifier: Apache-2.0
#include "control/pki/names.h"

#include <arpa/inet.h>

namespace gantry::control {
namespace {

std::string utf8(const ASN1_STRING* text) {
  unsigned char* bytes = nullptr;
  int size = ASN1_STRING_to_UTF8(&bytes, text);
  if (size < 0) return {};
  std::string copy(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return copy;
}

std::string_view bytes_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

Result<std::string> address_text(std::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = {};
  if (bytes.size() == 4) return std::string(::inet_ntop(AF_INET, bytes.data(), text, sizeof(text)));
  if (bytes.size() == 16) return std::string(::inet_ntop(AF_INET6, bytes.data(), text, sizeof(text)));
  return invalid_argument(cat("alternative names: an address of ", bytes.size(), " bytes"));
}

Status add(GENERAL_NAMES* names, int kind, std::string_view bytes) {
  std::unique_ptr<GENERAL_NAME, OpensslDelete<GENERAL_NAME_free>> name(GENERAL_NAME_new());
  ASN1_STRING* value = kind == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  if (!name || value == nullptr) return openssl_failed(Code::kInternal, "alternative name");
  ASN1_STRING_set(value, bytes.data(), static_cast<int>(bytes.size()));
  GENERAL_NAME_set0_value(name.get(), kind, value);
  if (sk_GENERAL_NAME_push(names, name.get()) <= 0) return openssl_failed(Code::kInternal, "alternative name");
  (void)name.release();
  return {};
}

// IA5String: what else is in a name would be another name to somebody.
Status check_text(std::string_view text) {
  for (char c : text) {
    if (c <= 0x20 || c == 0x7f)
      return invalid_argument(cat("alternative name ", quoted(text), ": not printable ASCII"));
  }
  return text.empty() ? Status(invalid_argument("alternative name: empty")) : Status();
}

}  // namespace

Subject read_subject(const X509_NAME* name) {
  Subject subject;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (kind == NID_commonName) {
      subject.common_name = utf8(X509_NAME_ENTRY_get_data(entry));  // of several the last one, as with Go
    } else if (kind == NID_organizationName) {
      subject.organizations.push_back(utf8(X509_NAME_ENTRY_get_data(entry)));
    } else {
      const char* word = OBJ_nid2sn(kind);
      subject.other_kinds.emplace_back(kind == NID_undef || word == nullptr ? "unknown" : word);
    }
  }
  return subject;
}

Result<AlternativeNames> read_names(const GENERAL_NAMES* names) {
  AlternativeNames read;
  int count = sk_GENERAL_NAME_num(names);
  if (count > static_cast<int>(kMaxAlternativeNames)) return invalid_argument("alternative names: too many");
  for (int i = 0; i < count; ++i) {
    int kind = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
    if (kind != GEN_DNS && kind != GEN_IPADD && kind != GEN_EMAIL && kind != GEN_URI) {
      return invalid_argument("alternative names: other than DNS names, addresses, emails and URIs");
    }
    std::string_view bytes = bytes_of(static_cast<const ASN1_STRING*>(value));
    if (kind == GEN_IPADD) {
      auto text = address_text(bytes);
      if (!text) return std::unexpected(std::move(text.error()));
      read.ips.push_back(std::move(*text));
      continue;
    }
    if (auto checked = check_text(bytes); !checked) return std::unexpected(std::move(checked.error()));
    auto& list = kind == GEN_DNS ? read.dns : kind == GEN_EMAIL ? read.emails : read.uris;
    list.emplace_back(bytes);
  }
  return read;
}

Status write_subject(X509_NAME* name, const Subject& subject) {
  for (const std::string& organization : subject.organizations) {
    if (!add_name(name, "O", organization)) return openssl_failed(Code::kInvalidArgument, "organization");
  }
  if (subject.common_name.empty() || add_name(name, "CN", subject.common_name)) return {};
  return openssl_failed(Code::kInvalidArgument, "common name");
}

Result<OwnNames> write_names(const AlternativeNames& names) {
  OwnNames all(GENERAL_NAMES_new());
  if (!all) return openssl_failed(Code::kInternal, "alternative names");
  auto add_texts = [&all](const std::vector<std::string>& texts, int kind) -> Status {
    for (const std::string& text : texts) {
      if (auto checked = check_text(text); !checked) return checked;
      if (auto added = add(all.get(), kind, text); !added) return added;
    }
    return {};
  };
  Status added = add_texts(names.dns, GEN_DNS);
  if (added) added = add_texts(names.emails, GEN_EMAIL);
  if (added) added = add_texts(names.uris, GEN_URI);
  if (!added) return std::unexpected(std::move(added.error()));
  for (const std::string& text : names.ips) {
    char bytes[16];
    std::size_t size = 0;
    if (::inet_pton(AF_INET, text.c_str(), bytes) == 1) size = 4;
    if (size == 0 && ::inet_pton(AF_INET6, text.c_str(), bytes) == 1) size = 16;
    if (size == 0) return invalid_argument(cat("alternative name ", quoted(text), ": not a numeric address"));
    added = add(all.get(), GEN_IPADD, {bytes, size});
    if (!added) return std::unexpected(std::move(added.error()));
  }
  return all;
}

bool is_empty(const AlternativeNames& names) {
  return names.dns.empty() && names.ips.empty() && names.emails.empty() && names.uris.empty();
}

}  // namespace gantry::control
