// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins the validation programs of opencontainers/runtime-tools; scripts/tools builds them. They are programs, which
// can't be imported, so what they are made of is imported here.
package tools

import _ "github.com/opencontainers/runtime-tools/validation/util"
