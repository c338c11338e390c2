// SPDX-License-Identifier: Apache-2.0
// The settings of gantry-control: one table of names, from which the command line and the config file are read. A new
// one is a row in settings.cc and a field in options.h.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/plane/options.h"

namespace gantry::control {

struct Setting {
  std::string_view field;     // of the config file: "serviceCIDR"
  std::string_view flag;      // "service-cidr"
  std::string_view fallback;  // its value when nobody says one
  std::string_view help;
  std::string_view expected;  // what errors say of its value: "ADDRESS:PORT"
  bool is_list = false;       // commas between its values in a flag, a list in the file
  // False: that is not what was expected. Lists bring all their values, others one.
  bool (*set)(PlaneOptions& options, std::span<const std::string> values) = nullptr;
};

std::span<const Setting> settings();

// Values by field. What is not in it has its fallback. The error names the setting by `name_of`, the value, and what
// was expected.
using SettingValues = std::map<std::string, std::vector<std::string>, std::less<>>;
Result<PlaneOptions> read_settings(const SettingValues& values,
                                   const std::function<std::string(const Setting&)>& name_of);

}  // namespace gantry::control
