// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins checkpointctl, which reads what CheckpointContainer writes; scripts/tools builds it.
package tools
