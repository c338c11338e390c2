// SPDX-License-Identifier: Apache-2.0
// Boost.JSON, compiled into this library: gantry-oci is static and links nothing of Boost.
#include <boost/json/src.hpp>
