// SPDX-License-Identifier: Apache-2.0
#include "images/command.h"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "images/content.h"
#include "images/inspect.h"
#include "images/interruption.h"
#include "images/progress.h"
#include "images/reference.h"
#include "images/registry/keyring.h"
#include "images/registry/pull.h"
#include "images/registry/push.h"
#include "images/store.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxSentence = 16 << 10;

struct Request {
  std::string data_dir;
  std::string name;    // --tag, or what an image shall be called
  std::string config;  // --config
  std::string source;  // folder, archive or image
  std::vector<std::string> images;
  bool quiet = false;
  bool all = false;
  std::string output = "-";
  std::string format = "oci-archive";
  std::string credentials;  // "user:password"
  std::string registries = kRegistriesFolder;
  unsigned patience = 60;  // seconds
};

std::string id_of(std::string_view id) { return std::string(id.substr(id.find(':') + 1, 13)); }

void print_table(const std::vector<std::array<std::string, 4>>& rows) {
  std::array<std::size_t, 4> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 4, ' ');
    }
    std::puts(line.c_str());
  }
}

Status list(ImageStore& store, const Request& request) {
  auto images = store.list();
  if (!images) return std::unexpected(std::move(images.error()));
  std::vector<std::array<std::string, 4>> rows{{"IMAGE", "TAG", "IMAGE ID", "SIZE"}};
  for (const Error& error : images->damaged)
    std::fprintf(stderr, "gantry image: %s\n", as_utf8(error.message(), kMaxSentence).c_str());
  for (const Image& image : images->images) {
    if (request.quiet) {
      std::puts(image.id.c_str());
      continue;
    }
    for (const std::string& tag : image.tags) {
      std::size_t colon = tag.rfind(':');
      rows.push_back({tag.substr(0, colon), tag.substr(colon + 1), id_of(image.id), human_size(image.size)});
    }
    if (image.tags.empty()) {
      std::string name =
          image.digests.empty() ? "<none>" : image.digests.front().substr(0, image.digests.front().find('@'));
      rows.push_back({name, "<none>", id_of(image.id), human_size(image.size)});
    }
  }
  std::sort(rows.begin() + 1, rows.end());
  if (!request.quiet) print_table(rows);
  return {};
}

void print_image(const Image& image, const std::string& name) {
  std::printf("%s  %s  %s\n", name.c_str(), image.id.c_str(), human_size(image.size).c_str());
}
void print_image(const Image& image) { print_image(image, image.tags.empty() ? "<none>" : image.tags.front()); }

Status build(ImageStore& store, const Request& request) {
  ImageConfig config;
  std::string text = "{}";
  if (!request.config.empty()) {
    auto file = sys::openat(sys::kCwd, request.config.c_str(), O_RDONLY);
    if (!file) return std::unexpected(std::move(file.error()));
    auto bytes = sys::read_all(*file, kMaxConfigBytes);
    if (!bytes) return fail_with(std::move(bytes.error()), request.config);
    text = std::move(*bytes);
  }
  auto parsed = parse_build_config(text);
  if (!parsed) return fail_with(std::move(parsed.error()), request.config.empty() ? "no --config" : request.config);
  auto folder = sys::openat(sys::kCwd, request.source.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto image = store.build(*folder, *parsed, request.name);
  if (!image) return std::unexpected(std::move(image.error()));
  print_image(*image);
  return {};
}

Status load(ImageStore& store, const Request& request) {
  OwnFd opened;
  FdRef source(STDIN_FILENO);
  bool is_folder = false;
  if (request.source != "-") {
    auto file = sys::openat(sys::kCwd, request.source.c_str(), O_RDONLY);
    if (!file) return std::unexpected(std::move(file.error()));
    opened = std::move(*file);
    source = opened;
    auto info = sys::fstat(source);
    if (!info) return std::unexpected(std::move(info.error()));
    is_folder = S_ISDIR(info->st_mode);
  }
  std::optional<std::string> name;
  if (!request.name.empty()) name = request.name;
  auto images = is_folder ? store.load_layout(source, name) : store.load_archive(source, name);
  if (!images) return fail_with(std::move(images.error()), cat("load ", request.source));
  for (const Image& image : *images) print_image(image);
  return {};
}

Status set_registry(const Request& request, const std::string& domain, Keyring& keyring, RegistryOptions& options) {
  options.folder = request.registries;
  options.patience = std::chrono::seconds(request.patience);
  CredentialWords words;
  words.username = request.credentials.substr(0, request.credentials.find(':'));
  if (words.username.size() < request.credentials.size())
    words.password = request.credentials.substr(words.username.size() + 1);
  auto credentials = credentials_for(words, domain);
  if (!credentials) return std::unexpected(std::move(credentials.error()));
  options.credentials = std::move(*credentials);
  options.keyring = &keyring;
  return {};
}

Status pull(ImageStore& store, const Request& request) {
  auto reference = parse_reference(request.name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  PullOptions options;
  Keyring keyring({.docker_configs = docker_configs(request.registries, "/var/lib/kubelet")});
  if (auto set = set_registry(request, reference->domain, keyring, options.registry); !set) return set;
  auto image = [&] {
    const Interruption interruption;
    options.stop = interruption.token();
    PullDisplay display(FdRef(STDERR_FILENO));
    options.progress = [&](const PullProgress& progress) { display.layer(progress); };
    options.moved = [&](const PullBytes& bytes) { display.moved(bytes); };
    return images::pull(store, *reference, options);
  }();
  if (!image) return std::unexpected(std::move(image.error()));
  print_image(*image, reference->to_string());
  return {};
}

Status push(ImageStore& store, const Request& request) {
  auto to = parse_reference(request.name.empty() ? request.source : request.name);
  if (!to) return std::unexpected(std::move(to.error()));
  auto content = store.content(request.source);
  if (!content) return std::unexpected(std::move(content.error()));
  if (!*content) return not_found(cat("no image ", in_quotes(request.source)));
  PushOptions options;
  Keyring keyring({.docker_configs = docker_configs(request.registries, "/var/lib/kubelet")});
  if (auto set = set_registry(request, to->domain, keyring, options.registry); !set) return set;
  options.progress = [](const PushProgress& progress) {
    constexpr const char* kHow[] = {"pushed", "is there already", "taken from another repository"};
    std::fprintf(stderr, "layer %zu of %zu: %s  %s  %s\n", progress.done, progress.layers,
                 progress.layer.hex().substr(0, 12).c_str(), human_size(progress.bytes).c_str(),
                 kHow[std::to_underlying(progress.how)]);
  };
  auto digest = images::push(**content, *to, options);
  if (!digest) return std::unexpected(std::move(digest.error()));
  std::printf("%s  %s\n", to->to_string().c_str(), digest->to_string().c_str());
  return {};
}

Status save(ImageStore& store, const Request& request) {
  const ArchiveKind kind = request.format == "docker-archive" ? ArchiveKind::kDocker : ArchiveKind::kOci;
  if (request.output == "-") {
    if (::isatty(STDOUT_FILENO) != 0)
      return fail(Code::kFailedPrecondition, "an archive is not for a terminal: give --output FILE");
    return store.save(FdRef(STDOUT_FILENO), kind, request.images);
  }
  auto file = sys::openat(sys::kCwd, request.output.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
  if (!file) return std::unexpected(std::move(file.error()));
  auto saved = store.save(*file, kind, request.images);
  if (saved) saved = sys::fsync(*file);
  if (!saved) (void)sys::unlinkat(sys::kCwd, request.output.c_str(), 0);
  return saved;
}

Status prune(ImageStore& store, const Request& request) {
  auto before = store.fs_usage();
  if (!before) return std::unexpected(std::move(before.error()));
  auto removed = store.prune(request.all);
  if (!removed) return std::unexpected(std::move(removed.error()));
  auto after = store.fs_usage();
  if (!after) return std::unexpected(std::move(after.error()));
  for (const std::string& id : *removed) std::puts(id.c_str());
  const std::uint64_t freed = before->used_bytes - std::min(before->used_bytes, after->used_bytes);
  std::fprintf(stderr, "%zu removed, %s freed\n", removed->size(), human_size(freed).c_str());
  return {};
}

// A name is taken away, and its image with it when that was the last; an id takes the image with all its names.
Status remove(ImageStore& store, const Request& request) {
  for (const std::string& query : request.images) {
    auto image = store.find(query);
    if (!image) return std::unexpected(std::move(image.error()));
    if (!*image) return not_found(cat("no image ", in_quotes(query)));
    auto reference = parse_reference(query);
    bool is_tag = reference && std::ranges::find((*image)->tags, reference->to_string()) != (*image)->tags.end();
    if (is_tag) {
      if (auto done = store.untag(query); !done) return done;
    } else if (auto done = store.remove((*image)->id); !done) {
      return std::unexpected(std::move(done.error()));
    }
    std::puts(query.c_str());
  }
  return {};
}

Status tag(ImageStore& store, const Request& request) { return store.tag(request.source, request.name); }

Status pin(ImageStore& store, const Request& request) {
  for (const std::string& name : request.images) {
    if (auto done = store.pin(name); !done) return done;
  }
  return {};
}

Status unpin(ImageStore& store, const Request& request) {
  for (const std::string& name : request.images) {
    if (auto done = store.unpin(name); !done) return done;
  }
  return {};
}

Status inspect(ImageStore& store, const Request& request) {
  std::vector<std::pair<Image, ImageDocuments>> images;
  for (const std::string& query : request.images) {
    auto image = store.find(query);
    if (!image) return std::unexpected(std::move(image.error()));
    auto documents = *image ? store.documents((*image)->id) : std::optional<ImageDocuments>();
    if (!documents) return std::unexpected(std::move(documents.error()));
    if (!*documents) return not_found(cat("no image ", in_quotes(query)));
    images.emplace_back(std::move(**image), std::move(**documents));
  }
  auto text = inspection(images);
  if (!text) return std::unexpected(std::move(text.error()));
  std::puts(text->c_str());
  return {};
}

using Action = Status (*)(ImageStore&, const Request&);

// Adds the verbs to `app`; the one that is given is noted in `action`.
void describe(CLI::App& app, Request& request, Action& action) {
  app.require_subcommand(1);
  app.add_option("--data-dir", request.data_dir, "The node's data folder")->capture_default_str();
  auto verb = [&](const char* name, const char* what, Action does) {
    CLI::App* command = app.add_subcommand(name, what);
    command->fallthrough();  // --data-dir may stand behind it, too
    command->callback([&action, does] { action = does; });
    return command;
  };
  CLI::App* builds = verb("build", "Make an image of one layer out of a folder", build);
  builds->add_option("--tag,-t", request.name, "Its name: my-app:1.0")->required();
  builds->add_option(
      "--config,-c", request.config,
      "JSON file with Entrypoint, Cmd, Env, User, WorkingDir, ExposedPorts, Volumes, StopSignal, Labels");
  builds->add_option("FOLDER", request.source, "What becomes the image's root")->required();

  CLI::App* loads = verb("load", "Load the images of an OCI archive, a docker archive or an OCI layout folder", load);
  loads->add_option("--tag,-t", request.name, "A name in place of those in the archive");
  loads->add_option("ARCHIVE", request.source, "A tar file (gzip and zstd will do), a folder, or - for standard input")
      ->required();

  CLI::App* saves = verb("save", "Write images into one archive, for other tools or machines", save);
  saves->add_option("--format", request.format, "oci-archive or docker-archive")
      ->capture_default_str()
      ->check(CLI::IsMember({"oci-archive", "docker-archive"}));
  saves->add_option("--output,-o", request.output, "A file that is not there yet, or - for standard output")
      ->capture_default_str();
  saves->add_option("IMAGE", request.images, "Names or ids")->required();

  auto asks_registry = [&](CLI::App* command) {
    command->add_option("--creds", request.credentials,
                        "USER:PASSWORD, in place of what Docker's config.json files say");
    command
        ->add_option("--registries", request.registries,
                     "Folder with HOST[:PORT]/hosts.toml of registries, as containerd has it")
        ->capture_default_str();
    command->add_option("--patience", request.patience, "Seconds without progress after which a registry is given up")
        ->capture_default_str()
        ->check(CLI::Range(1, 3600));
  };
  CLI::App* pushes = verb("push", "Put an image into a registry", push);
  asks_registry(pushes);
  pushes->add_option("IMAGE", request.source, "Name or id")->required();
  pushes->add_option("NAME", request.name, "What it shall be called there, when that is another name");

  CLI::App* pulls = verb("pull", "Bring an image from its registry", pull);
  asks_registry(pulls);
  pulls->add_option("IMAGE", request.name, "Its name: registry.example/my-app:1.0")->required();

  CLI::App* lists = verb("list", "Show the images", list);
  lists->add_flag("--quiet,-q", request.quiet, "Ids only");

  CLI::App* removes =
      verb("remove", "Take a name away, and the image with its last; by id: the image with all names", remove);
  removes->add_option("IMAGE", request.images, "Names or ids")->required();

  CLI::App* inspects = verb("inspect", "Show what is known of images, as JSON", inspect);
  inspects->add_option("IMAGE", request.images, "Names or ids")->required();

  CLI::App* pins = verb("pin", "Keep images by these names from garbage collection and prune", pin);
  pins->add_option("NAME", request.images, "Names")->required();
  CLI::App* unpins = verb("unpin", "Let them be removed again", unpin);
  unpins->add_option("NAME", request.images, "Names")->required();

  CLI::App* prunes = verb("prune", "Remove images without a name that no container uses", prune);
  prunes->add_flag("--all,-a", request.all, "Also those with a name, unless it is pinned");

  CLI::App* tags = verb("tag", "Give an image another name", tag);
  tags->add_option("IMAGE", request.source, "Name or id")->required();
  tags->add_option("NAME", request.name, "The further name")->required();
}

}  // namespace

int image_command(int argc, const char* const* argv, const std::string& data_dir) {
  Request request{data_dir};
  Action action = nullptr;
  CLI::App app("Images in this node's store", "gantry image");
  describe(app, request, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (::geteuid() != 0) {
    std::fputs("gantry image: the store belongs to root: run this with sudo\n", stderr);
    return 1;
  }
  auto store = ImageStore::open(request.data_dir);
  Status done = store ? action(**store, request) : Status(std::unexpected(std::move(store.error())));
  if (done) return 0;
  std::fprintf(stderr, "gantry image: %s\n", as_utf8(done.error().message(), kMaxSentence).c_str());
  return 1;
}

}  // namespace gantry::images
