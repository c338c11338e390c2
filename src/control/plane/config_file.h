// SPDX-License-Identifier: Apache-2.0
// The config file of gantry-control (`--config FILE`): the settings of settings.h as one YAML object, by field. Values
// are scalars; a list where a flag takes commas. Strict: what is unknown, written twice or of another shape is an
// error.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "control/plane/settings.h"

namespace gantry::control {

// The error names the field, its value and what was expected.
Result<SettingValues> parse_config(std::string_view text);

// The settings of a config file (none: an empty path) and of flags, which win. Errors name the file or the flag.
Result<PlaneOptions> read_options(const std::string& config_file, const SettingValues& flags);

}  // namespace gantry::control
