// SPDX-License-Identifier: Apache-2.0

//go:build !old

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	validator "github.com/containerd/nri/plugins/default-validator"
	"google.golang.org/protobuf/encoding/protojson"
)

// The interface's own validator refuses what Validate.hooks, a file of the folder, is about: hooks.
type validating struct{ *plugin }

func (v *validating) ValidateContainerAdjustment(ctx context.Context, request *api.ValidateContainerAdjustmentRequest) error {
	v.log("ValidateContainerAdjustment", map[string]any{"owners": text(request.Owners), "adjust": text(request.Adjust)})
	return validator.NewDefaultValidator(&validator.DefaultValidatorConfig{
		Enable: true, RejectOCIHookAdjustment: true}).ValidateContainerAdjustment(ctx, request)
}

func wrapped(p *plugin) any {
	if _, err := os.Stat(filepath.Join(p.folder, "Validate.hooks")); err == nil {
		return &validating{p}
	}
	return p
}

// FailurePolicy.json, in protobuf's JSON.
func failurePolicy(folder string) []stub.Option {
	bytes, err := os.ReadFile(filepath.Join(folder, "FailurePolicy.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	policy := &api.FailurePolicy{}
	if err == nil {
		err = protojson.Unmarshal(bytes, policy)
	}
	if err != nil {
		fail(err)
	}
	return []stub.Option{stub.WithFailurePolicy(policy)}
}
