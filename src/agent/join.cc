// SPDX-License-Identifier: Apache-2.0
#include "agent/join.h"

#include <algorithm>

#include "agent/certificate_request.h"
#include "agent/certificate_store.h"
#include "agent/cluster.h"
#include "agent/node_key.h"
#include "api/json.h"
#include "api/names.h"
#include "api/text.h"
#include "api/yaml.h"
#include "base/text.h"
#include "http/client.h"
#include "http/connect.h"
#include "http/detached_signature.h"
#include "http/tls.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/private_file.h"

namespace gantry::agent {

namespace {

using api::Value;

constexpr Duration kConnectTime = std::chrono::seconds(20);
constexpr std::chrono::minutes kPatience{5};
constexpr char kProgram[] = "gantry-join";

bool is_token(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return text.size() == 23 && text[6] == '.' && std::ranges::all_of(text.substr(0, 6), is_letter) &&
         std::ranges::all_of(text.substr(7), is_letter);
}

bool is_pin(std::string_view text) {
  const auto is_hex = [](char c) { return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9'); };
  return text.size() == 7 + 64 && text.starts_with("sha256:") && std::ranges::all_of(text.substr(7), is_hex);
}

// The certificates that the server shows, which nobody has vouched for.
Task<Result<std::string>> shown_by(Loop& loop, api::ServerAddress address) {
  auto tls = http::TlsClient::make({.verify = false});
  if (!tls) co_return std::unexpected(std::move(tls.error()));
  auto socket = co_await http::connect_tcp(loop, address.host, address.port, kConnectTime);
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  auto stream = http::make_tls_stream(loop, std::move(*socket), **tls, address.host);
  auto session = co_await stream->handshake(kConnectTime);
  if (!session) co_return std::unexpected(std::move(session.error()));
  co_return std::move(session->shown_pem);
}

// cluster-info, as anybody may read it on clusters of kubeadm; who answers is not known, what it says is proven below.
Task<Result<Value>> read_cluster_info(Loop& loop, const JoinOptions& options) {
  api::Kubeconfig nobody;
  nobody.server = options.server;
  nobody.tls.verify = false;
  auto transport = api::RemoteTransport::make(loop, nobody);
  if (!transport) co_return std::unexpected(std::move(transport.error()));
  const api::Kinds kinds(cluster_kinds());
  api::Client client(loop, **transport, kinds, kProgram);
  auto info = co_await client.document("GET", "/api/v1/namespaces/kube-public/configmaps/cluster-info");
  if (!info) co_return fail_with(info.error().as_error(), "read kube-public/cluster-info");
  co_return std::move(*info);
}

Result<std::string> ca_of_cluster_info(const Value& info, const JoinOptions& options) {
  const Value* data = info.find("data");
  if (data == nullptr) return invalid_argument("kube-public/cluster-info has no data");
  const std::string id = options.token.substr(0, 6), text = data->text_at("kubeconfig");
  const std::string signature = data->text_at("jws-kubeconfig-" + id);
  if (signature.empty()) {
    return fail(Code::kPermissionDenied, cat("the cluster does not know the token ", id, ": it may have ended"));
  }
  if (signature != http::detached_signature(text, id, options.token.substr(7))) {
    return fail(Code::kPermissionDenied, "kube-public/cluster-info is not signed with this token");
  }
  auto kubeconfig = api::parse_yaml(text);
  if (!kubeconfig || kubeconfig->empty()) return invalid_argument("kube-public/cluster-info has no kubeconfig");
  const Value::List& clusters = kubeconfig->front().list_at("clusters");
  const Value* cluster = clusters.empty() ? nullptr : clusters.front().find("cluster");
  const auto pem = api::decode_base64(cluster == nullptr ? "" : cluster->text_at("certificate-authority-data"));
  return find_pinned(pem.value_or(""), options.ca_hash);
}

}  // namespace

Status check_join(const JoinOptions& options) {
  if (auto address = api::parse_server(options.server); !address || !address->tls) {
    return invalid_argument(
        cat(gantry::quoted(options.server), ": the API server's address was expected, https://HOST:PORT"));
  }
  // Not shown: most of it may be right.
  if (!is_token(options.token)) return invalid_argument("--token: six letters, a dot, sixteen letters were expected");
  if (!is_pin(options.ca_hash)) {
    return invalid_argument(
        cat("--ca-hash ", gantry::quoted(options.ca_hash, 80), ": sha256: and 64 hex digits were expected"));
  }
  if (!api::check_dns1123_subdomain(options.node_name).empty()) {
    return invalid_argument(cat("--node-name ", gantry::quoted(options.node_name), ": is no name of a node"));
  }
  return {};
}

Task<Result<std::string>> find_ca(Loop& loop, const JoinOptions& options) {
  auto address = api::parse_server(options.server);
  if (!address) co_return std::unexpected(std::move(address.error()));
  auto shown = co_await shown_by(loop, *address);
  if (!shown) co_return std::unexpected(std::move(shown.error()));
  if (std::string ca = find_pinned(*shown, options.ca_hash); !ca.empty()) co_return ca;
  auto info = co_await read_cluster_info(loop, options);
  auto ca = info ? ca_of_cluster_info(*info, options) : std::unexpected(std::move(info.error()));
  const std::string hint = cat("the server shows no CA with the hash ", options.ca_hash);
  if (!ca) co_return fail_with(std::move(ca.error()), hint);
  if (ca->empty()) co_return fail(Code::kPermissionDenied, cat(hint, ": it may not be the one that was meant"));
  co_return std::move(*ca);
}

std::string node_kubeconfig(const std::string& server, const std::string& ca_pem, const std::string& node_name,
                            const std::string& certificate_path) {
  const std::string user = node_names(node_name).common_name;
  const auto named = [](const char* name, const char* what, Value content) {
    return Value::List{Value::object({{"name", name}, {what, std::move(content)}})};
  };
  Value::List users = {Value::object(
      {{"name", user},
       {"user", Value::object({{"client-certificate", certificate_path}, {"client-key", certificate_path}})}})};
  const Value config = Value::object(
      {{"apiVersion", "v1"},
       {"kind", "Config"},
       {"clusters",
        named("default", "cluster",
              Value::object({{"server", server}, {"certificate-authority-data", api::encode_base64(ca_pem)}}))},
       {"users", std::move(users)},
       {"contexts", named("default", "context", Value::object({{"cluster", "default"}, {"user", user}}))},
       {"current-context", "default"}});
  return api::write_json(config) + "\n";
}

Task<Status> join(Loop& loop, JoinOptions options) {
  if (Status good = check_join(options); !good) co_return good;
  auto ca = co_await find_ca(loop, options);
  if (!ca) co_return std::unexpected(std::move(ca.error()));
  api::Kubeconfig bootstrap;
  bootstrap.server = options.server;
  bootstrap.tls.ca_pem = *ca;
  bootstrap.token = options.token;
  auto transport = api::RemoteTransport::make(loop, bootstrap);
  if (!transport) co_return std::unexpected(std::move(transport.error()));
  const api::Kinds kinds(cluster_kinds());
  api::Client client(loop, **transport, kinds, kProgram);
  auto issued = co_await request_certificate(
      client, {.signer = kNodeClientSigner, .names = node_names(options.node_name), .patience = kPatience});
  if (!issued) co_return std::unexpected(std::move(issued.error()));
  const std::string pki = options.root_dir + "/pki";
  const std::size_t slash = options.kubeconfig.rfind('/');
  const std::string beside = options.kubeconfig.substr(0, slash + 1);
  for (const auto& folder : {pki, beside}) {
    if (Status made = sys::make_folders(folder, 0755); !made) co_return made;
  }
  CertificateStore store(pki, "kubelet-client");
  if (Status kept = store.put(issued->certificate_pem, issued->key_pem); !kept) co_return kept;
  // What the node shows may be of the cluster that it leaves, and this one's clients would not trust it.
  if (Status gone = CertificateStore(pki, "kubelet-server").forget(); !gone) co_return gone;
  auto folder = sys::open_dir(sys::kCwd, beside.c_str());
  if (!folder) co_return fail_with(std::move(folder.error()), beside);
  auto written = sys::write_private_file(*folder, options.kubeconfig.substr(slash + 1),
                                         node_kubeconfig(options.server, *ca, options.node_name, store.current_path()));
  co_return written ? written : fail_with(std::move(written.error()), options.kubeconfig);
}

}  // namespace gantry::agent
