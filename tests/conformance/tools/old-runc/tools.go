// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins a runc of February 2021, with the holes that tests/security are about; scripts/tools builds it.
package tools
