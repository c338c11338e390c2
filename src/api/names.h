// SPDX-License-Identifier: Apache-2.0
// The kinds of names that Kubernetes objects are made of. Each check returns what is wrong, in words that say what is
// allowed, or an empty string. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace gantry::api {

// a-z, 0-9 and '-', beginning and ending alphanumeric, at most 63: containers, volumes, namespaces.
std::string check_dns1123_label(std::string_view name);
// Labels joined by dots, at most 253: pods and most objects.
std::string check_dns1123_subdomain(std::string_view name);
// At most 15 of a-z, 0-9 and single inner '-', with a letter: names of ports.
std::string check_port_name(std::string_view name);
// The key of a label or annotation: [subdomain '/'] and at most 63 alphanumerics with '-', '_', '.' inside.
std::string check_qualified_name(std::string_view name);
// At most 63, empty or as the name part of a qualified name.
std::string check_label_value(std::string_view value);
// Printable ASCII but '=', not empty: an environment variable.
std::string check_env_name(std::string_view name);
// The key of a ConfigMap or Secret: at most 253 of alphanumerics, '-', '_', '.', not "." or beginning with "..".
std::string check_config_key(std::string_view name);
// Anything that can stand in a path: not "." or "..", without '/' and '%'. Roles and their bindings.
std::string check_path_segment(std::string_view name);
// An IPv4 or IPv6 address, without zone or prefix length.
std::string check_ip(std::string_view text);

}  // namespace gantry::api
