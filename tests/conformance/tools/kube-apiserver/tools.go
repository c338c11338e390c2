// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins kube-apiserver, which answers the same requests as gantry-control in upstream_dryrun.py, and of the same module kube-scheduler,
// which gives the same pods their nodes in upstream_scheduler.py, and kube-controller-manager, which does the same for kubectl in
// upstream_controllers.py; scripts/tools builds them.
package tools
