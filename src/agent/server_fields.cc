// SPDX-License-Identifier: Apache-2.0
#include "agent/server_fields.h"

#include <string>
#include <vector>

#include "agent/kubelet_config.h"
#include "agent/tls_names.h"
#include "base/text.h"

namespace gantry::agent {

namespace {

using api::Value;
using Member = MemberField<ServerConfig>;

// ---- authentication and authorization

constexpr Member kX509[] = {
    {"clientCAFile",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_path(value, field, &to.client_ca_file);
     }},
};

constexpr Member kTokens[] = {
    {"enabled",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_flag(value, field, &to.gate.takes_tokens);
     }},
    {"cacheTTL",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_duration(value, field, &to.gate.tokens);
     }},
};

constexpr Member kAnonymous[] = {
    {"enabled",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_flag(value, field, &to.gate.takes_anonymous);
     }},
};

constexpr Member kAuthentication[] = {
    {"x509",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_members<ServerConfig>(value, field, kX509, to);
     }},
    {"webhook",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_members<ServerConfig>(value, field, kTokens, to);
     }},
    {"anonymous",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_members<ServerConfig>(value, field, kAnonymous, to);
     }},
};

constexpr Member kRights[] = {
    {"cacheAuthorizedTTL",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_duration(value, field, &to.gate.authorized);
     }},
    {"cacheUnauthorizedTTL",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_duration(value, field, &to.gate.unauthorized);
     }},
};

Status take_mode(const Value& value, std::string_view field, ServerConfig& to) {
  std::string mode;
  if (auto taken = take_text(value, field, &mode); !taken || mode.empty()) return taken;
  if (mode != "Webhook" && mode != "AlwaysAllow") return wrong_field(field, "Webhook or AlwaysAllow was expected");
  to.gate.asks_for_rights = mode == "Webhook";
  return {};
}

constexpr Member kAuthorization[] = {
    {"mode", take_mode},
    {"webhook",
     [](const Value& value, std::string_view field, ServerConfig& to) -> Status {
       return take_members<ServerConfig>(value, field, kRights, to);
     }},
};

// ---- TLS

Status take_ciphers(const Value& value, std::string_view field, KubeletSettings& to) {
  std::vector<std::string> names;
  if (auto taken = take_texts(value, field, &names); !taken) return taken;
  auto allowed = allow_ciphers(names, &to.server.tls);
  return allowed ? allowed : wrong_field(field, allowed.error().message());
}

Status take_groups(const Value& value, std::string_view field, KubeletSettings& to) {
  std::vector<std::int64_t> numbers;
  if (auto taken = take_numbers(value, field, &numbers); !taken) return taken;
  auto allowed = allow_groups(numbers, &to.server.tls);
  return allowed ? allowed : wrong_field(field, allowed.error().message());
}

Status take_least_version(const Value& value, std::string_view field, KubeletSettings& to) {
  std::string version;
  if (auto taken = take_text(value, field, &version); !taken) return taken;
  if (version == "VersionTLS13") to.server.tls.only_tls13 = true;
  // The older ones are not spoken.
  if (version.empty() || version == "VersionTLS13" || version == "VersionTLS12" || version == "VersionTLS11" ||
      version == "VersionTLS10") {
    return {};
  }
  return wrong_field(field, "VersionTLS12 or VersionTLS13 was expected");
}

bool is_zero(const Value& value) { return value.as_int64() == 0; }

constexpr KubeletField kFields[] = {
    {"enableServer",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.server.is_on);
     }},
    {"address",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_address(value, field, &to.server.address);
     }},
    {"port",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       std::uint16_t port = 0;
       if (auto taken = take_port(value, field, &port); !taken || port == 0) return taken;
       to.server.port = port;
       return {};
     }},
    // Only that there is none.
    {"readOnlyPort", [](const Value&, std::string_view, KubeletSettings&) -> Status { return {}; }, is_zero},
    {"tlsCertFile",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_path(value, field, &to.server.certificate_file);
     }},
    {"tlsPrivateKeyFile",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_path(value, field, &to.server.key_file);
     }},
    {"tlsCipherSuites", take_ciphers},
    {"tlsCurvePreferences", take_groups},
    {"tlsMinVersion", take_least_version},
    {"rotateCertificates",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.server.renews_certificate);
     }},
    {"serverTLSBootstrap",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.server.asks_for_certificate);
     }},
    {"authentication",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_members<ServerConfig>(value, field, kAuthentication, to.server);
     }},
    {"authorization",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_members<ServerConfig>(value, field, kAuthorization, to.server);
     }},
    {"enableDebuggingHandlers",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_flag(value, field, &to.server.enters_containers);
     }},
    {"healthzPort",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_port(value, field, &to.server.health_port);
     }},
    {"healthzBindAddress",
     [](const Value& value, std::string_view field, KubeletSettings& to) -> Status {
       return take_address(value, field, &to.server.health_address);
     }},
};

}  // namespace

std::span<const KubeletField> server_fields() { return kFields; }

Status check_server_fields(const ServerConfig& server) {
  if (server.certificate_file.empty() != server.key_file.empty()) {
    return wrong_field(server.key_file.empty() ? "tlsPrivateKeyFile" : "tlsCertFile", "was expected beside the other");
  }
  if (server.gate.takes_anonymous && !server.gate.asks_for_rights) {
    return wrong_field("authentication.anonymous.enabled",
                       "false was expected, as authorization.mode is AlwaysAllow: everybody would be root here");
  }
  return {};
}

}  // namespace gantry::agent
