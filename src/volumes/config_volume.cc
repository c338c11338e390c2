// SPDX-License-Identifier: Apache-2.0
#include "volumes/config_volume.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>
#include <utility>

#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"
#include "volumes/atomic_writer.h"
#include "volumes/config_objects.h"
#include "volumes/memory_folder.h"
#include "volumes/prepare.h"
#include "volumes/token_file.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

template <typename Source>
mode_t default_mode(const Source& source) {
  return source.has_default_mode() ? static_cast<mode_t>(source.default_mode()) & 07777 : 0644;
}

template <typename T, typename Add>
Status add_object(const PayloadInputs::Find<T>& find, const char* kind, const std::string& name,
                  const KeyedFiles& files, Add add, Payload& payload) {
  auto object = find(name);
  if (!object) return std::unexpected(std::move(object.error()));
  if (*object != nullptr) return add(**object, files, payload);
  if (files.is_optional) return {};
  return fail(Code::kNotFound, cat(kind, " \"", name, "\" not found"));
}

Status add_config_map_named(const PayloadInputs& inputs, const std::string& name, const KeyedFiles& files,
                            Payload& payload) {
  return add_object(inputs.config_map, "configmap", name, files, add_config_map, payload);
}

Status add_secret_named(const PayloadInputs& inputs, const std::string& name, const KeyedFiles& files,
                        Payload& payload) {
  return add_object(inputs.secret, "secret", name, files, add_secret, payload);
}

Status add_token(const core::ServiceAccountTokenProjection& source, mode_t mode, const PayloadInputs& inputs,
                 Payload& payload) {
  auto token = inputs.token(source);
  if (!token) return std::unexpected(std::move(token.error()));
  return add_file(payload, source.path(), token_file(inputs.pod, std::move(*token), mode));
}

Status add_projection(const core::VolumeProjection& source, mode_t mode, const PayloadInputs& inputs,
                      Payload& payload) {
  if (source.has_config_map()) {
    const auto& from = source.config_map();
    return add_config_map_named(inputs, from.local_object_reference().name(), {from.items(), mode, from.optional()},
                                payload);
  }
  if (source.has_secret()) {
    const auto& from = source.secret();
    return add_secret_named(inputs, from.local_object_reference().name(), {from.items(), mode, from.optional()},
                            payload);
  }
  if (source.has_downward_api()) {
    return add_downward_api(inputs.pod, source.downward_api().items(), mode, inputs.resource, payload);
  }
  if (source.has_service_account_token()) return add_token(source.service_account_token(), mode, inputs, payload);
  return fail(Code::kUnimplemented, "projects a source that is not supported");
}

// All that is wrong at once, as kubelet has it: who repairs one thing sees the others, too.
Status add_projected(const core::ProjectedVolumeSource& source, const PayloadInputs& inputs, Payload& payload) {
  std::vector<Error> errors;
  for (const auto& one : source.sources()) {
    auto added = add_projection(one, default_mode(source), inputs, payload);
    if (!added) errors.push_back(std::move(added.error()));
  }
  if (errors.empty()) return {};
  if (errors.size() == 1) return std::unexpected(std::move(errors.front()));
  std::string all;
  for (const auto& error : errors) all += cat(all.empty() ? "[" : ", ", error.message());
  return fail(errors.front().code(), all + "]");
}

const char* kind_of(const core::VolumeSource& source) {
  if (source.has_config_map()) return "configmap";
  if (source.has_secret()) return "secret";
  if (source.has_downward_api()) return "downward-api";
  return "projected";
}

std::optional<gid_t> group_of(const core::Pod& pod) {
  const auto& security = pod.spec().security_context();
  if (!security.has_fs_group()) return std::nullopt;
  return static_cast<gid_t>(security.fs_group());
}

// A folder is closed until it has its group and mode; what is in memory has them before it is mounted.
Status make_volume(const std::string& path, bool in_memory, std::optional<gid_t> group) {
  const std::string parent_path = path.substr(0, path.rfind('/'));
  const std::string name = path.substr(parent_path.size() + 1);
  const mode_t mode = group ? 0777 | S_ISGID : 0777;
  if (auto made = sys::make_folders(parent_path, 0750); !made) return made;
  auto parent = sys::open_dir(sys::kCwd, parent_path.c_str());
  if (!parent) return std::unexpected(std::move(parent.error()));
  auto made = sys::mkdirat(*parent, name.c_str(), 0700);
  if (!made && !made.error().is_already_exists()) return made;
  if (in_memory) return mount_memory(*parent, name, {.mode = mode, .group = group, .size = 0, .is_secret = true});
  auto folder = sys::openat(*parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (group) {
    if (auto owned = sys::fchown(*folder, static_cast<uid_t>(-1), *group); !owned) return owned;
  }
  return sys::fchmod(*folder, mode);
}

}  // namespace

bool is_config_volume(const core::Volume& volume) {
  const auto& source = volume.volume_source();
  return source.has_config_map() || source.has_secret() || source.has_downward_api() || source.has_projected();
}

ConfigSources sources_of(const core::Volume& volume) {
  ConfigSources names;
  const auto& source = volume.volume_source();
  if (source.has_config_map()) names.config_maps.push_back(source.config_map().local_object_reference().name());
  if (source.has_secret()) names.secrets.push_back(source.secret().secret_name());
  for (const auto& one : source.projected().sources()) {
    if (one.has_config_map()) names.config_maps.push_back(one.config_map().local_object_reference().name());
    if (one.has_secret()) names.secrets.push_back(one.secret().local_object_reference().name());
    if (one.has_service_account_token()) names.tokens.push_back(&one.service_account_token());
  }
  return names;
}

Result<Payload> payload_of(const core::Volume& volume, const PayloadInputs& inputs) {
  Payload payload;
  Status done;
  const auto& source = volume.volume_source();
  if (source.has_config_map()) {
    const auto& from = source.config_map();
    done = add_config_map_named(inputs, from.local_object_reference().name(),
                                {from.items(), default_mode(from), from.optional()}, payload);
  } else if (source.has_secret()) {
    const auto& from = source.secret();
    done = add_secret_named(inputs, from.secret_name(), {from.items(), default_mode(from), from.optional()}, payload);
  } else if (source.has_downward_api()) {
    const auto& from = source.downward_api();
    done = add_downward_api(inputs.pod, from.items(), default_mode(from), inputs.resource, payload);
  } else {
    done = add_projected(source.projected(), inputs, payload);
  }
  if (done) done = check_payload(payload);
  if (!done) return std::unexpected(std::move(done.error()));
  return payload;
}

std::string config_volume_path(const core::Volume& volume, const std::string& pod_folder) {
  return volume_folder(pod_folder, kind_of(volume.volume_source()), volume.name());
}

Result<bool> write_config_volume(const core::Pod& pod, const core::Volume& volume, const std::string& pod_folder,
                                 const Payload& payload) {
  const std::string path = config_volume_path(volume, pod_folder);
  const auto group = group_of(pod);
  if (auto made = make_volume(path, !volume.volume_source().has_config_map(), group); !made) {
    return std::unexpected(std::move(made.error()));
  }
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return write_payload(*folder, payload, group);
}

bool is_config_volume_written(const core::Volume& volume, const std::string& pod_folder) {
  auto folder = sys::open_dir(sys::kCwd, config_volume_path(volume, pod_folder).c_str());
  return folder && is_written(*folder);
}

std::optional<std::string> read_config_file(const core::Volume& volume, const std::string& pod_folder,
                                            const std::string& path, std::size_t limit) {
  auto clean = payload_path(path);
  auto folder = sys::open_dir(sys::kCwd, config_volume_path(volume, pod_folder).c_str());
  if (!clean || !folder) return std::nullopt;
  auto file = sys::openat2(*folder, clean->c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                           sys::Resolve::kBeneath | sys::Resolve::kNoMagicLinks);
  auto info = file ? sys::fstat(*file) : std::unexpected(file.error());
  if (!info || !S_ISREG(info->st_mode)) return std::nullopt;
  auto text = sys::read_all(*file, limit);
  if (!text) return std::nullopt;
  return std::move(*text);
}

}  // namespace gantry::volumes
