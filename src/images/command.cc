// SPDX-License-Identifier: Apache-2.0
#include "images/command.h"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>

#include "images/inspect.h"
#include "images/progress.h"
#include "images/reference.h"
#include "images/registry/keyring.h"
#include "images/registry/pull.h"
#include "images/store.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

struct Request {
  std::string data_dir;
  std::string name;    // --tag, or what an image shall be called
  std::string config;  // --config
  std::string source;  // folder, archive or image
  std::vector<std::string> images;
  bool quiet = false;
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
  for (const Error& error : images->damaged) std::fprintf(stderr, "gantry image: %s\n", error.message().c_str());
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

Status pull(ImageStore& store, const Request& request) {
  auto reference = parse_reference(request.name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  PullOptions options;
  options.registry.folder = request.registries;
  options.registry.patience = std::chrono::seconds(request.patience);
  CredentialWords words;
  words.username = request.credentials.substr(0, request.credentials.find(':'));
  if (words.username.size() < request.credentials.size())
    words.password = request.credentials.substr(words.username.size() + 1);
  auto credentials = credentials_for(words, reference->domain);
  if (!credentials) return std::unexpected(std::move(credentials.error()));
  options.registry.credentials = std::move(*credentials);
  Keyring keyring({.docker_configs = docker_configs(request.registries, "/var/lib/kubelet")});
  options.registry.keyring = &keyring;
  auto image = [&] {
    PullDisplay display(FdRef(STDERR_FILENO));
    options.progress = [&](const PullProgress& progress) { display.layer(progress); };
    options.moved = [&](const PullBytes& bytes) { display.moved(bytes); };
    return images::pull(store, *reference, options);
  }();
  if (!image) return std::unexpected(std::move(image.error()));
  print_image(*image, reference->to_string());
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

  CLI::App* loads = verb("load", "Load the images of an OCI archive or layout folder", load);
  loads->add_option("--tag,-t", request.name, "A name in place of those in the archive");
  loads->add_option("ARCHIVE", request.source, "A tar file (gzip and zstd will do), a folder, or - for standard input")
      ->required();

  CLI::App* pulls = verb("pull", "Bring an image from its registry", pull);
  pulls->add_option("--creds", request.credentials, "USER:PASSWORD, in place of what Docker's config.json files say");
  pulls
      ->add_option("--registries", request.registries,
                   "Folder with HOST[:PORT]/hosts.toml of registries, as containerd has it")
      ->capture_default_str();
  pulls->add_option("--patience", request.patience, "Seconds without progress after which a registry is given up")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
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
  std::fprintf(stderr, "gantry image: %s\n", done.error().message().c_str());
  return 1;
}

}  // namespace gantry::images
