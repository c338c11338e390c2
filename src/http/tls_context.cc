// SPDX-License-Identifier: Apache-2.0
#include "http/tls_context.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <cstring>
#include <vector>

namespace gantry::http {
namespace {

constexpr std::string_view kHttp1 = "http/1.1", kHttp2 = "h2";
// What TLS 1.2 may use: forward secrecy and authenticated encryption; TLS 1.3 has nothing else.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

OwnBio bio_of(std::string_view text) { return OwnBio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

int no_password(char*, int, int, void*) { return 0; }

Result<std::vector<OwnCertificate>> read_certificates(std::string_view pem, std::string_view what) {
  OwnBio bio = bio_of(pem);
  std::vector<OwnCertificate> all;
  while (OwnCertificate next{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    all.push_back(std::move(next));
  }
  unsigned long error = ERR_peek_last_error();
  bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return openssl_failed(Code::kInvalidArgument, cat("read ", what));
  ERR_clear_error();
  if (all.empty()) return invalid_argument(cat("read ", what, ": no PEM certificate in it"));
  return all;
}

Status use_certificate(SSL_CTX* ssl, const std::string& certificate_pem, const std::string& key_pem) {
  auto chain = read_certificates(certificate_pem, "certificate");
  if (!chain) return std::unexpected(std::move(chain.error()));
  OwnBio bio = bio_of(key_pem);
  OwnKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return openssl_failed(Code::kInvalidArgument, "read private key");
  if (SSL_CTX_use_certificate(ssl, (*chain)[0].get()) != 1)
    return openssl_failed(Code::kInvalidArgument, "certificate");
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ssl, (*chain)[i].get()) != 1) {
      return openssl_failed(Code::kInvalidArgument, "certificate's chain");
    }
  }
  if (SSL_CTX_use_PrivateKey(ssl, key.get()) != 1) {
    return openssl_failed(Code::kInvalidArgument, "private key of the certificate");
  }
  return {};
}

Status trust(SSL_CTX* ssl, const std::string& ca_pem, bool tell_clients) {
  auto authorities = read_certificates(ca_pem, "CA certificates");
  if (!authorities) return std::unexpected(std::move(authorities.error()));
  X509_STORE* store = SSL_CTX_get_cert_store(ssl);
  for (const auto& authority : *authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) return openssl_failed(Code::kInvalidArgument, "CA");
    if (tell_clients) SSL_CTX_add_client_CA(ssl, authority.get());
  }
  // As in Go: one that is trusted is trusted, whoever has signed it.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return {};
}

// The handshake goes on without a valid certificate; what is wrong with it stays in the verification's result.
int verify_client(X509_STORE_CTX* store, void*) {
  (void)X509_verify_cert(store);
  ERR_clear_error();
  return 1;
}

// `offered` is the client's list; the application's argument is non-null when HTTP/2 is served.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int offered_size, void* http2) {
  auto choose = [&](std::string_view protocol) {
    for (unsigned int at = 0; at < offered_size; at += offered[at] + 1U) {
      std::string_view one(reinterpret_cast<const char*>(offered) + at + 1, offered[at]);
      if (one != protocol) continue;
      *out = offered + at + 1;
      *out_size = offered[at];
      return true;
    }
    return false;
  };
  bool chosen = (http2 != nullptr && choose(kHttp2)) || choose(kHttp1);
  return chosen ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<std::shared_ptr<SSL_CTX>> new_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> ssl(SSL_CTX_new(method), SSL_CTX_free);
  if (!ssl) return openssl_failed(Code::kInternal, "SSL_CTX_new");
  SSL_CTX_set_min_proto_version(ssl.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(ssl.get(), kCiphers);
  SSL_CTX_set_options(ssl.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(ssl.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ssl.get(), 0);
  SSL_CTX_set_mode(ssl.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ssl.get(), 1);
  return ssl;
}

Result<std::shared_ptr<const TlsContext>> context_of(std::shared_ptr<SSL_CTX> ssl) {
  OwnBioMethod socket = make_socket_method();
  if (!socket) return openssl_failed(Code::kInternal, "BIO_meth_new");
  return std::make_shared<const TlsContext>(std::move(socket), std::move(ssl));
}

Status follow(SSL_CTX* ssl, const TlsRules& rules) {
  if (rules.only_tls13) SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
  if (!rules.tls12_ciphers.empty() && SSL_CTX_set_cipher_list(ssl, rules.tls12_ciphers.c_str()) != 1) {
    return openssl_failed(Code::kInvalidArgument, cat("ciphers ", rules.tls12_ciphers));
  }
  if (!rules.groups.empty() && SSL_CTX_set1_groups_list(ssl, rules.groups.c_str()) != 1) {
    return openssl_failed(Code::kInvalidArgument, cat("groups ", rules.groups));
  }
  return {};
}

Result<std::shared_ptr<const TlsContext>> make_server(const TlsServerOptions& options) {
  auto ssl = new_context(TLS_server_method());
  if (!ssl) return std::unexpected(std::move(ssl.error()));
  if (auto followed = follow(ssl->get(), options.rules); !followed) return std::unexpected(std::move(followed.error()));
  if (auto used = use_certificate(ssl->get(), options.certificate_pem, options.key_pem); !used) {
    return std::unexpected(std::move(used.error()));
  }
  if (!options.client_ca_pem.empty()) {
    if (auto trusted = trust(ssl->get(), options.client_ca_pem, true); !trusted) {
      return fail_with(std::move(trusted.error()), "for clients");
    }
    SSL_CTX_set_verify(ssl->get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(ssl->get(), verify_client, nullptr);
  }
  SSL_CTX_set_alpn_select_cb(ssl->get(), choose_protocol, options.http2 ? ssl->get() : nullptr);
  return context_of(std::move(*ssl));
}

Result<std::shared_ptr<const TlsContext>> make_client(const TlsClientOptions& options) {
  auto ssl = new_context(TLS_client_method());
  if (!ssl) return std::unexpected(std::move(ssl.error()));
  if (!options.certificate_pem.empty()) {
    if (auto used = use_certificate(ssl->get(), options.certificate_pem, options.key_pem); !used) {
      return std::unexpected(std::move(used.error()));
    }
  }
  if (options.verify) {
    if (options.ca_pem.empty()) {
      if (SSL_CTX_set_default_verify_paths(ssl->get()) != 1)
        return openssl_failed(Code::kInternal, "the machine's CAs");
    } else if (auto trusted = trust(ssl->get(), options.ca_pem, false); !trusted) {
      return std::unexpected(std::move(trusted.error()));
    }
    SSL_CTX_set_verify(ssl->get(), SSL_VERIFY_PEER, nullptr);
  } else {
    // Many servers close without a word. As in Go that is an end; who could cut the answer short could have given it.
    SSL_CTX_set_options(ssl->get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  }
  std::string protocols;
  for (std::string_view protocol : {kHttp2, kHttp1}) {
    if (protocol == kHttp2 && !options.http2) continue;
    protocols += static_cast<char>(protocol.size());
    protocols += protocol;
  }
  SSL_CTX_set_alpn_protos(ssl->get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                          static_cast<unsigned int>(protocols.size()));
  return context_of(std::move(*ssl));
}

std::string utf8(const ASN1_STRING* text) {
  unsigned char* bytes = nullptr;
  int size = ASN1_STRING_to_UTF8(&bytes, text);
  if (size < 0) return {};
  std::string copy(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return copy;
}

std::string decimal(const ASN1_INTEGER* number) {
  std::unique_ptr<BIGNUM, OpensslDelete<BN_free>> big(ASN1_INTEGER_to_BN(number, nullptr));
  char* text = big ? BN_bn2dec(big.get()) : nullptr;
  if (text == nullptr) return {};
  std::string copy(text);
  OPENSSL_free(text);
  return copy;
}

}  // namespace

ClientCertificate read_client_certificate(X509& certificate) {
  ClientCertificate facts;
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
    int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (kind == NID_commonName) facts.common_name = utf8(X509_NAME_ENTRY_get_data(entry));
    if (kind == NID_organizationName) facts.organizations.push_back(utf8(X509_NAME_ENTRY_get_data(entry)));
  }
  facts.serial = decimal(X509_get0_serialNumber(&certificate));
  unsigned char* der = nullptr;
  int size = i2d_X509(&certificate, &der);
  if (size > 0) facts.der.assign(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return facts;
}

TlsServer::TlsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsServer::~TlsServer() = default;

Result<std::shared_ptr<TlsServer>> TlsServer::make(const TlsServerOptions& options) {
  auto context = make_server(options);
  if (!context) return fail_with(std::move(context.error()), "TLS server");
  return std::shared_ptr<TlsServer>(new TlsServer(std::make_unique<Impl>(std::move(*context))));
}

Status TlsServer::replace(const TlsServerOptions& options) {
  auto context = make_server(options);
  if (!context) return fail_with(std::move(context.error()), "TLS server");
  impl_->slot.set(std::move(*context));
  return {};
}

TlsClient::TlsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsClient::~TlsClient() = default;

Result<std::shared_ptr<TlsClient>> TlsClient::make(const TlsClientOptions& options) {
  auto context = make_client(options);
  if (!context) return fail_with(std::move(context.error()), "TLS client");
  return std::shared_ptr<TlsClient>(new TlsClient(std::make_unique<Impl>(std::move(*context))));
}

Status TlsClient::replace(const TlsClientOptions& options) {
  auto context = make_client(options);
  if (!context) return fail_with(std::move(context.error()), "TLS client");
  impl_->slot.set(std::move(*context));
  return {};
}

}  // namespace gantry::http
