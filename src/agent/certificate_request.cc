// SPDX-License-Identifier: Apache-2.0
#include "agent/certificate_request.h"

#include <algorithm>
#include <optional>

#include "api/json.h"
#include "base/text.h"
#include "kubernetes/certificates/v1/certificates.pb.h"

namespace gantry::agent {

namespace {

using Csr = k8s::io::api::certificates::v1::CertificateSigningRequest;
using std::chrono::steady_clock;

// Of one watch, by the server's clock; one that is gone without a word ends with its connection (http/connect.h).
constexpr int kWatchSeconds = 60;
constexpr Duration kPause = std::chrono::seconds(1);

bool is_decided(const Csr& csr) {
  const auto says_no = [](const auto& one) { return one.type() == "Denied" || one.type() == "Failed"; };
  return !csr.status().certificate().empty() || std::ranges::any_of(csr.status().conditions(), says_no);
}

Result<std::string> decision(const Csr& csr) {
  if (!csr.status().certificate().empty()) return csr.status().certificate();
  for (const auto& one : csr.status().conditions()) {
    if (one.type() != "Denied" && one.type() != "Failed") continue;
    return fail(Code::kPermissionDenied, cat("request ", csr.metadata().name(), " for a certificate is ",
                                             lowered(one.type()), ": ", one.reason(), " ", one.message()));
  }
  return fail(Code::kInternal, "a request for a certificate that is decided says nothing");
}

}  // namespace

CertificateNames node_names(const std::string& node_name) {
  return {.common_name = "system:node:" + node_name, .organizations = {"system:nodes"}, .dns = {}, .ips = {}};
}

Task<Result<KeyAndCertificate>> request_certificate(api::Client& client, CertificateOrder order) {
  auto made = make_request(order.names);
  if (!made) co_return std::unexpected(std::move(made.error()));
  Csr csr;
  csr.mutable_metadata()->set_generate_name("csr-");
  csr.mutable_spec()->set_request(made->request_pem);
  csr.mutable_spec()->set_signer_name(order.signer);
  csr.mutable_spec()->add_usages("digital signature");
  csr.mutable_spec()->add_usages(order.signer == kNodeServingSigner ? "server auth" : "client auth");
  api::Answer<Csr> asked = co_await client.create(csr);
  if (!asked) co_return fail_with(asked.error().as_error(), "request a certificate");
  const std::string name = asked->metadata().name();
  const auto deadline = steady_clock::now() + order.patience;
  std::optional<Csr> decided;
  if (is_decided(*asked)) decided = *asked;
  std::string from = asked->metadata().resource_version();
  const api::TakeLine take = [&decided](std::string_view line) -> Status {
    auto event = api::parse_json(line);
    const api::Value* document = event ? event->find("object") : nullptr;
    Csr seen;
    // What can't be read is asked for below.
    if (document == nullptr || !api::Client::decode_item(*document, &seen)) return {};
    if (!is_decided(seen)) return {};
    decided = std::move(seen);
    return fail(Code::kCancelled, "it is decided");
  };
  while (!decided) {
    if (steady_clock::now() > deadline) {
      co_return fail(
          Code::kDeadlineExceeded,
          cat("request ", name, " for a certificate: nobody has approved it (kubectl certificate approve ", name, ")"));
    }
    if (!from.empty()) {
      (void)co_await client.follow(cat(client.target<Csr>().path(""), "?watch=true&fieldSelector=metadata.name%3D",
                                       name, "&timeoutSeconds=", kWatchSeconds, "&resourceVersion=", from),
                                   api::Client::WatchForm::kJson, take);
      if (decided) break;
      co_await client.here().sleep_for(kPause);
    }
    api::Answer<Csr> now = co_await client.get<Csr>("", name);
    if (now && is_decided(*now)) decided = std::move(*now);
    if (now) from = now->metadata().resource_version();
    if (!now && now.error().is_not_found()) {
      co_return fail(Code::kPermissionDenied, cat("request ", name, " for a certificate was removed by somebody"));
    }
    if (!now) co_await client.here().sleep_for(kPause);
  }
  auto certificate = decision(*decided);
  if (!certificate) co_return std::unexpected(std::move(certificate.error()));
  if (auto good = read_certificate(*certificate, made->key_pem); !good) {
    co_return fail_with(std::move(good.error()), "the certificate that the cluster has signed");
  }
  co_return KeyAndCertificate{std::move(made->key_pem), std::move(*certificate)};
}

}  // namespace gantry::agent
