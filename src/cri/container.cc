// SPDX-License-Identifier: Apache-2.0
// Containers: create, remove, list, status. start.cc and stop.cc have their life.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "base/log.h"
#include "cdi/folders.h"
#include "cri/boot_records.h"
#include "cri/filters.h"
#include "cri/make_spec.h"
#include "cri/plugin_adjust.h"
#include "cri/pod_cgroups.h"
#include "cri/runtime_impl.h"
#include "cri/security_modules.h"
#include "cri/text.h"
#include "cri/validate.h"

namespace gantry::cri {
namespace {

// True for the id itself, with or without "sha256:", and for as much of it as people copy.
bool is_image_id(std::string_view query, std::string_view id) {
  constexpr std::size_t kShortest = 12;
  std::string_view hex = without_prefix(id, "sha256:");
  return query == id || (query.size() >= kShortest && hex.starts_with(query));
}

std::vector<v1::Mount> image_mounts(const v1::ContainerStatus& status) {
  std::vector<v1::Mount> out;
  std::ranges::copy_if(status.mounts(), std::back_inserter(out),
                       [](const v1::Mount& mount) { return mount.has_image(); });
  return out;
}

// As its client has it.
v1::ContainerConfig asked_config(const Container& container) {
  v1::ContainerConfig asked;
  return !container.asked.empty() && asked.ParseFromString(container.asked) ? asked : container.config;
}

}  // namespace

// ---- create

Task<Result<v1::CreateContainerResponse>> Runtime::create_container(v1::CreateContainerRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto sandbox = need_sandbox(request.pod_sandbox_id());
  if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
  if ((*sandbox)->state != SandboxState::kReady) {
    co_return fail(Code::kFailedPrecondition,
                   cat("pod sandbox ", (*sandbox)->id(), " is ", to_string((*sandbox)->state), "; run a new one"));
  }
  if (auto reachable = need_reachable(**sandbox); !reachable) co_return std::unexpected(std::move(reachable.error()));
  if (!(*sandbox)->has_config) {
    co_return fail(Code::kFailedPrecondition, cat("the record of pod sandbox ", (*sandbox)->id(),
                                                  " was lost; stop and remove it, and run a new one"));
  }
  const bool privileged_since = request.sandbox_config().linux().security_context().privileged();
  if (auto good = validate_container(request.config(), (*sandbox)->config, privileged_since); !good) {
    co_return std::unexpected(std::move(good.error()));
  }
  const auto& metadata = request.config().metadata();
  std::string key = cat((*sandbox)->id(), "/", metadata.name(), "/", metadata.attempt());
  co_return co_await create_flights_.join(
      key, [this, request = std::move(request), sandbox = *sandbox] { return do_create(request, sandbox); });
}

Task<Result<v1::CreateContainerResponse>> Runtime::do_create(v1::CreateContainerRequest request, SandboxPtr sandbox) {
  v1::CreateContainerResponse response;
  if (auto existing = container_of(sandbox->id(), request.config().metadata())) {
    bool same = existing->state == ContainerState::kCreated && existing->has_config &&
                google::protobuf::util::MessageDifferencer::Equals(asked_config(*existing), request.config());
    if (!same) {
      co_return fail(Code::kAlreadyExists, cat("container ", existing->id(), " has this name and attempt and is ",
                                               to_string(existing->state), "; remove it, or give the next attempt"));
    }
    response.set_container_id(existing->id());
    co_return response;
  }
  auto container = std::make_shared<Container>(node_.loop);
  container->config = std::move(*request.mutable_config());
  container->has_config = true;
  container->sandbox_id = sandbox->id();
  *container->status.mutable_metadata() = container->config.metadata();
  creating_.insert(container);
  auto made = co_await prepare_container(container, sandbox);
  creating_.erase(container);
  if (!made) {
    co_return fail_from(made, cat("create container ", quoted(container->config.metadata().name())));
  }
  containers_.add(container);
  notify(v1::CONTAINER_CREATED_EVENT, *container);
  tell_plugins_soon(nri::Happening::kContainerCreated, container);
  response.set_container_id(container->id());
  co_return response;
}

// What can be said without making anything comes first, then the row, then root and record.
Task<Status> Runtime::prepare_container(ContainerPtr container, SandboxPtr sandbox) {
  auto id = new_id();
  if (!id) co_return std::unexpected(std::move(id.error()));
  container->status.set_id(*id);
  container->cgroup = child_cgroup_path(sandbox->cgroup, *id);
  const auto& security = container->config.linux().security_context();
  if (auto good = check_selinux_labels(security); !good) co_return good;
  auto apparmor = co_await apparmor_.choose(security);
  if (!apparmor) co_return std::unexpected(std::move(apparmor.error()));
  if (!apparmor->warning.empty()) container->warnings.push_back(std::move(apparmor->warning));
  auto resources = make_resources(container->config.linux().resources());
  if (!resources) co_return std::unexpected(std::move(resources.error()));
  auto image = co_await find_image(container, sandbox);
  if (!image) co_return std::unexpected(std::move(image.error()));
  auto& status = container->status;
  status.set_image_id(image->id);
  status.set_image_ref(image->digests.empty() ? image->id : image->digests.front());
  *status.mutable_image() = container->config.image();
  bool is_unnamed = container->from_checkpoint || is_image_id(container->config.image().image(), image->id);
  if (is_unnamed && !image->tags.empty()) status.mutable_image()->set_image(image->tags.front());  // people know it
  container->image = image_process(image->config);
  auto prepared = co_await prepare_with(container, sandbox, std::move(image->config), std::move(apparmor->profile));
  if (!prepared) co_await drop_checkpoint(container);
  co_return prepared;
}

Task<Status> Runtime::prepare_with(ContainerPtr container, SandboxPtr sandbox, images::ImageConfig image_config,
                                   std::string apparmor_profile) {
  Adjusted adjusted{.image = std::move(image_config)};
  if (has_plugins()) {
    auto asked = co_await ask_plugins(container, sandbox, adjusted);
    if (!asked) co_return asked;
  }
  auto found = co_await find_volumes(container);
  if (!found) {
    tell_plugins_of_end(container);
    co_return found;
  }
  auto edits = co_await find_cdi_devices(container, std::move(adjusted.edits));
  if (!edits) {
    tell_plugins_of_end(container);
    co_return std::unexpected(std::move(edits.error()));
  }

  auto recorded = co_await record(container);
  if (!recorded) {
    tell_plugins_of_end(container);
    co_return recorded;
  }
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) {
    co_await undo_container(container);
    co_return std::unexpected(std::move(folder.error()));
  }
  Status done = write_container_record(
      *folder, container->id(),
      {container->config, std::move(adjusted.image), *edits, std::move(adjusted.extras), container->asked});
  if (done) done = co_await fill_container(container, sandbox, std::move(apparmor_profile));
  if (done) done = co_await restore_root(container);
  if (done && sandbox->state != SandboxState::kReady) {
    done = fail(Code::kFailedPrecondition, cat("pod sandbox ", sandbox->id(), " was stopped meanwhile"));
  }
  if (done) {
    container->set_state(ContainerState::kCreated);
    done = co_await record(container);
  }
  if (!done) co_await undo_container(container);
  co_return done;
}

// What the container's mounts call images becomes their ids, which its status shows.
Task<Status> Runtime::find_volumes(ContainerPtr container) {
  auto& mounts = *container->status.mutable_mounts();
  mounts = container->config.mounts();
  for (auto& mount : mounts) {
    if (!mount.has_image()) continue;
    auto image =
        co_await node_.disk.run([&images = node_.images, query = mount.image().image()] { return images.find(query); });
    const std::string field = cat("mounts[", quoted(mount.container_path()), "].image");
    if (!image) co_return fail_from(image, field);
    if (!*image)
      co_return not_found(cat(field, " ", quoted(mount.image().image()), ": is not on this node; pull it first"));
    mount.mutable_image()->set_image_ref((*image)->id);
  }
  co_return Status();
}

Task<Result<std::string>> Runtime::find_cdi_devices(ContainerPtr container, std::string more) {
  auto names = cdi_devices(container->config);
  if (!names) co_return std::unexpected(std::move(names.error()));
  if (names->empty() && more.empty()) co_return "";
  Result<std::string> text = cat("[", more, "]");
  if (!names->empty()) {
    text = co_await node_.disk.run(
        [&folders = node_.cdi_folders, &names = *names] { return cdi::resolve(folders, names); });
    if (!text) co_return text;
    if (!more.empty()) text->replace(text->rfind(']'), 1, cat(",", more, "]"));
  }
  auto edits = cdi::parse_edits(*text);
  if (!edits) co_return std::unexpected(std::move(edits.error()));
  container->edits = std::move(*edits);
  co_return text;
}

// Root, users, and the process that exec will copy: all that makes a wrong configuration fail here and not at the
// start.
Task<Status> Runtime::fill_container(ContainerPtr container, SandboxPtr sandbox, std::string apparmor_profile) {
  auto spec = make_spec(container->config, sandbox->config, container->edits, container->extras);
  if (!spec) co_return std::unexpected(std::move(spec.error()));
  spec->apparmor_profile = std::move(apparmor_profile);
  for (const auto& mount : image_mounts(container->status)) spec->images.push_back({.target = mount.container_path()});
  if (auto good = runtime::check_spec(*spec); !good) co_return good;
  auto signal = stop_signal(container->config, container->image);
  if (!signal) co_return std::unexpected(std::move(signal.error()));
  struct Opened {
    runtime::ContainerSpec spec;
    runtime::UserDatabase users;
  };
  auto opened = co_await node_.disk.run([&images = node_.images, image = container->status.image_id(),
                                         id = container->id(), spec = std::move(*spec),
                                         mounts = image_mounts(container->status)]() mutable -> Result<Opened> {
    images::RootOwner owner;
    if (spec.users) owner = {spec.users->uid, spec.users->gid, spec.users->uids, spec.users->gids};
    std::vector<std::string> volumes;
    for (const auto& mount : mounts) volumes.push_back(mount.image().image_ref());
    auto root = images.prepare_root(image, id, volumes, owner);
    if (!root) return fail_from(root, "make the root");
    for (std::size_t i = 0; i < root->volumes.size(); ++i) {
      auto kind = image_mount_kind(images.store_dir(), root->volumes[i], mounts[i]);
      if (!kind) return std::unexpected(std::move(kind.error()));
    }
    auto users = read_users(images.store_dir(), root->lower);
    if (!users) return std::unexpected(std::move(users.error()));
    if (auto read = read_seccomp_profile(spec); !read) return std::unexpected(std::move(read.error()));
    return Opened{std::move(spec), std::move(*users)};
  });
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  auto user = runtime::resolve_container_user(opened->spec.user, container->image, opened->users);
  if (!user) co_return std::unexpected(std::move(user.error()));
  auto process = runtime::plan_process(opened->spec, container->image, node_.host, opened->users, seccomp_);
  if (!process) co_return std::unexpected(std::move(process.error()));
  container->process = std::move(*process);

  const auto& config = container->config;
  auto& status = container->status;
  status.set_created_at(now());
  *status.mutable_labels() = config.labels();
  // Its client's: what it reads from them is no matter of plugins.
  *status.mutable_annotations() = asked_config(*container).annotations();
  if (!sandbox->config.log_directory().empty() && !config.log_path().empty()) {
    status.set_log_path(cat(sandbox->config.log_directory(), "/", config.log_path()));
  }
  if (config.linux().has_resources()) *status.mutable_resources()->mutable_linux() = config.linux().resources();
  auto* linux_user = status.mutable_user()->mutable_linux();
  linux_user->set_uid(user->uid);
  linux_user->set_gid(user->gid);
  for (auto group : user->groups) linux_user->add_supplemental_groups(group);
  status.set_stop_signal(signal_value(*signal));
  co_return Status();
}

// Nobody has seen the container yet.
Task<> Runtime::undo_container(ContainerPtr container) {
  container->state = ContainerState::kCreating;
  tell_plugins_of_end(container);
  return insist("taking back a container", container->id(), [this, container] { return forget_container(container); });
}

// ---- remove

Task<Result<v1::RemoveContainerResponse>> Runtime::remove_container(v1::RemoveContainerRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto found = find_container(request.container_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return v1::RemoveContainerResponse();
  auto removed = co_await flights_.join(cat("remove container ", (*found)->id()),
                                        [this, container = *found] { return do_remove_container(container, false); });
  if (!removed) co_return fail_within(removed, cat("remove container ", (*found)->id()));
  co_return v1::RemoveContainerResponse();
}

// With `pod_goes` its sandbox's row says that all in it is being removed.
Task<Status> Runtime::do_remove_container(ContainerPtr container, bool pod_goes) {
  if (auto reachable = need_reachable(*container); !reachable) co_return reachable;
  // Until the container is marked as going it may be started again and again by somebody else.
  for (;;) {
    auto stopped = co_await stop(container, Duration::zero());
    if (!stopped) co_return stopped;
    auto turn = co_await container->turn.acquire();
    if (container->is_live()) continue;
    container->set_state(ContainerState::kRemoving);
    if (pod_goes) break;
    auto recorded = co_await record(container);
    if (!recorded) co_return recorded;
    break;
  }
  auto forgotten = co_await forget_container(container);
  if (!forgotten) co_return forgotten;
  containers_.remove(container->id());
  notify(v1::CONTAINER_DELETED_EVENT, *container);
  tell_plugins_soon(nri::Happening::kContainerRemoved, container);
  co_return Status();
}

// All that is kept for a container that does not run: the shim's memory of it, cgroup, root, record, and last its row.
Task<Status> Runtime::forget_container(ContainerPtr container) {
  auto sandbox = sandboxes_.find(container->sandbox_id);
  if (sandbox != sandboxes_.end() && sandbox->second->shim && sandbox->second->shim->is_alive()) {
    // One that it does not know is fine; and its memory ends with it.
    (void)co_await sandbox->second->shim->forget(container->id());
  }
  co_await end_by_handler(container);
  co_await drop_checkpoint(container);
  auto removed = co_await remove_cgroup(container->cgroup);
  if (!removed) co_return fail_from(removed, "remove the cgroup");
  auto released =
      co_await node_.disk.run([&images = node_.images, id = container->id()] { return images.release_root(id); });
  if (!released) co_return fail_from(released, "remove the root");
  if (auto folder = node_.folders.open_run_sandbox(container->sandbox_id)) {
    if (auto gone = remove_container_record(*folder, container->id()); !gone) co_return gone;
  }
  co_return co_await store_.erase_container(container->id());
}

// ---- list, status

Task<Result<v1::ListContainersResponse>> Runtime::list_containers(v1::ListContainersRequest request) {
  v1::ListContainersResponse response;
  const auto& filter = request.filter();
  for (const auto& container :
       containers_.select(filter.id(), terms_of(filter.label_selector(), filter.pod_sandbox_id()))) {
    const auto& status = container->status;
    if (!matches(filter, container->sandbox_id, status)) continue;
    auto* item = response.add_containers();
    item->set_id(container->id());
    item->set_pod_sandbox_id(container->sandbox_id);
    *item->mutable_metadata() = status.metadata();
    *item->mutable_image() = status.image();
    item->set_image_ref(status.image_ref());
    item->set_image_id(status.image_id());
    item->set_state(status.state());
    item->set_created_at(status.created_at());
    *item->mutable_labels() = status.labels();
    *item->mutable_annotations() = status.annotations();
  }
  co_return response;
}

ContainerPtr Runtime::container_of(const std::string& sandbox_id, const v1::ContainerMetadata& metadata) const {
  for (const auto& container : containers_.select("", {name_term(sandbox_id, metadata)})) {
    const auto& other = container->status.metadata();
    if (container->sandbox_id == sandbox_id && other.name() == metadata.name() && other.attempt() == metadata.attempt())
      return container;
  }
  return nullptr;
}

Result<ContainerPtr> Runtime::need_container(std::string_view id) const {
  auto found = find_container(id);
  if (found && !*found) return not_found(cat("container ", quoted(id), ": there is none with this id"));
  return found;
}

Task<Status> Runtime::record(ContainerPtr container) {
  auto put = co_await store_.put(*container);
  if (!put) {
    log::error("recording a container", {{"container", container->id()}, {"error", put.error()}});
    co_return fail_from(put, "record the container");
  }
  co_return Status();
}

}  // namespace gantry::cri
