// SPDX-License-Identifier: Apache-2.0
// A network as CNI 0.1 to 1.1 configure it: a list of plugins that are run one after the other. Written by the
// administrator or by a network's own installer; JSON. Pure but for read_network_config(); any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/value.h"
#include "base/result.h"

namespace gantry::cni {

inline constexpr std::size_t kMaxConfigBytes = 1U << 20;  // of a file
inline constexpr std::size_t kMaxConfigFiles = 1024;      // in a folder
inline constexpr std::size_t kMaxPlugins = 64;

// The versions of the specification, in order.
enum class Version : std::uint8_t { k0_1_0, k0_2_0, k0_3_0, k0_3_1, k0_4_0, k1_0_0, k1_1_0 };
std::string_view to_string(Version version);
// Nothing for one that is not known here.
std::optional<Version> parse_version(std::string_view text);

struct Plugin {
  std::string type;  // the program's name, in one of the folders of plugins
  api::Value config;
  std::vector<std::string> capabilities;  // what it wants to be told of a pod
};

struct NetworkConfig {
  std::string name;
  // Those that the file allows and that are known here, lowest first; never empty.
  std::vector<Version> versions;
  bool disable_check = false, disable_gc = false;
  // False: plugins of a folder with the network's name belong to it, too.
  bool only_inlined = false;
  std::vector<Plugin> plugins;
};

// Of a list (.conflist), whose plugins may be none yet. Errors name the field, the value and what was expected.
Result<NetworkConfig> parse_network_list(std::string_view text);
// Of a single plugin (.conf, .json), which makes a list of one.
Result<NetworkConfig> parse_single_network(std::string_view text);
// One more plugin of a list, as a document of its own.
Status add_plugin(NetworkConfig& config, std::string_view text);

// What lies in a folder such as /etc/cni/net.d: the first file in the order of names that ends in .conflist, .conf or
// .json, and, for a list, the .conf files of a folder beside it that has the network's name. kNotFound when there is
// none; that the first one is wrong is an error, not a reason to take the second.
Result<NetworkConfig> read_network_config(const std::string& folder);

// A list's document that parse_network_list() makes the same of, for this version alone.
std::string network_text(const NetworkConfig& config, Version version);

// What a plugin reads: its own configuration with the network's name and version, of `capabilities` (an object) what it
// wants, and a result that came before it, if there is one.
api::Value plugin_request(const NetworkConfig& config, const Plugin& plugin, Version version,
                          const api::Value& capabilities, const api::Value* previous);

// Puts a member in the place of all of that name.
void set_member(api::Value& object, std::string_view key, api::Value value);

}  // namespace gantry::cni
