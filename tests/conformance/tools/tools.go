// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins the upstream programs that conformance tests use; scripts/tools builds them. critest is a test
// program, which a tool line in go.mod can't name, so the packages it is made of are imported here.
package tools

import (
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
)
