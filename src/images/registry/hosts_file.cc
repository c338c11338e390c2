// SPDX-License-Identifier: Apache-2.0
#include "images/registry/hosts_file.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "images/registry/duration.h"
#include "images/text.h"

namespace gantry::images {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxFile = 256 << 10;
constexpr std::size_t kMaxHosts = 32;
constexpr std::size_t kMaxList = 32;
constexpr std::size_t kMaxText = 4096;
constexpr milliseconds kShortestDial(1);
constexpr milliseconds kLongestDial = std::chrono::hours(24);

// The fields of one table. The first error is kept; after it all is empty.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string where) : table_(table), where_(std::move(where)) {}

  std::string text(std::string_view key) {
    const toml::node* node = table_.get(key);
    return node != nullptr ? text_of(*node, key) : "";
  }
  bool flag(std::string_view key) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return false;
    if (!node->is_boolean()) complain(key, "expected true or false");
    return node->value<bool>().value_or(false);
  }
  // One text, or a list of them.
  std::vector<std::string> texts(std::string_view key) {
    const toml::node* node = table_.get(key);
    return node != nullptr ? texts_of(*node, key) : std::vector<std::string>();
  }
  std::vector<std::string> texts_of(const toml::node& node, std::string_view key) {
    if (!node.is_array()) return {text_of(node, key)};
    std::vector<std::string> out;
    if (node.as_array()->size() > kMaxList) complain(key, cat("at most ", kMaxList, " entries are allowed"));
    for (const toml::node& element : *node.as_array()) {
      if (error_) return {};
      out.push_back(text_of(element, key));
    }
    return out;
  }
  const toml::table* table(std::string_view key) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) complain(key, "expected a table");
    return node->as_table();
  }
  const toml::array* array(std::string_view key) {
    const toml::node* node = table_.get(key);
    return node != nullptr ? node->as_array() : nullptr;
  }

  // Every key must be one of these.
  void only(std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : table_) {
      if (std::ranges::find(known, key.str()) == known.end()) complain(key.str(), "there is no such key");
    }
  }
  void complain(std::string_view key, std::string_view why) {
    if (!error_) error_ = Error(Code::kInvalidArgument, cat(where_, in_quotes(key), ": ", why));
  }
  Status status() const {
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  std::string text_of(const toml::node& node, std::string_view key) {
    const toml::value<std::string>* value = node.as_string();
    if (value == nullptr) {
      complain(key, "expected a text");
      return "";
    }
    const std::string& text = value->get();
    if (text.empty() || text.size() > kMaxText || std::ranges::any_of(text, [](char c) { return (c & 0xe0) == 0; })) {
      complain(key, cat("expected 1 to ", kMaxText, " bytes without control characters"));
      return "";
    }
    return text;
  }

  const toml::table& table_;
  std::string where_;
  std::optional<Error> error_;
};

void read_capabilities(TableReader& reader, HostEntry& entry) {
  const std::vector<std::string> names = reader.texts("capabilities");
  if (names.empty()) return;
  entry.pulls = entry.resolves = false;
  for (const std::string& name : names) {
    const std::string capability = lowered(name);
    entry.pulls |= capability == "pull";
    entry.resolves |= capability == "resolve";
    if (capability != "pull" && capability != "resolve" && capability != "push")
      reader.complain("capabilities", cat(in_quotes(name), ", expected pull, resolve or push"));
  }
}

// "both.pem", ["both.pem"] or [["client.cert", "client.key"]]; a key of "" is in the certificate's file.
void read_client(TableReader& reader, HostEntry& entry) {
  const toml::array* list = reader.array("client");
  if (list == nullptr) {
    entry.certificate = reader.text("client");
    return;
  }
  if (list->size() != 1) return reader.complain("client", "expected one certificate: only one can be shown");
  const toml::array* pair = list->front().as_array();
  if (pair == nullptr) {
    for (std::string& both : reader.texts("client")) entry.certificate = std::move(both);
    return;
  }
  const auto text_at = [&](std::size_t i) { return pair->get(i) ? (*pair)[i].value<std::string>() : std::nullopt; };
  const auto certificate = text_at(0);
  const auto key = text_at(1);
  if (pair->size() != 2 || !certificate || !key || certificate->empty())
    return reader.complain("client", "expected a certificate's file and its key's");
  entry.certificate = *certificate;
  entry.key = *key;
}

void read_headers(TableReader& reader, HostEntry& entry) {
  const toml::table* headers = reader.table("header");
  if (headers == nullptr) return;
  constexpr std::string_view kNameMarks = "!#$%&'*+-.^_`|~";
  for (const auto& [key, value] : *headers) {
    const std::string_view name = key.str();
    const bool is_name = !name.empty() && name.size() <= 256 && std::ranges::all_of(name, [&](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || kNameMarks.contains(c);
    });
    if (!is_name) reader.complain("header", cat(in_quotes(name), " is no header's name"));
    for (const std::string& text : reader.texts_of(value, name)) entry.headers.push_back(cat(name, ": ", text));
    if (entry.headers.size() > kMaxList) reader.complain("header", cat("at most ", kMaxList, " are allowed"));
    if (!reader.status()) return;
  }
}

Result<HostEntry> read_entry(const toml::table& table, std::string url, bool is_server) {
  TableReader reader(table, is_server ? "" : cat("host ", in_quotes(url), ": "));
  if (is_server) {
    reader.only({"capabilities", "ca", "client", "skip_verify", "override_path", "header", "dial_timeout", "proxy",
                 "server", "host"});
  } else {
    reader.only({"capabilities", "ca", "client", "skip_verify", "override_path", "header", "dial_timeout", "proxy"});
  }
  HostEntry entry;
  entry.url = std::move(url);
  read_capabilities(reader, entry);
  entry.authorities = reader.texts("ca");
  read_client(reader, entry);
  entry.verify = !reader.flag("skip_verify");
  entry.override_path = reader.flag("override_path");
  read_headers(reader, entry);
  if (const std::string text = reader.text("dial_timeout"); !text.empty()) {
    auto time = parse_duration(text);
    if (!time) reader.complain("dial_timeout", time.error().message());
    if (time && (*time < kShortestDial || *time > kLongestDial))
      reader.complain("dial_timeout", cat(in_quotes(text), ", expected from 1ms to 24h"));
    entry.dial_timeout = time.value_or(milliseconds(0));
  }
  entry.proxy = reader.text("proxy");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  return entry;
}

// The tables of [host."..."], as they stand in the file: the parser sorts them by name.
Result<std::vector<std::pair<std::string, const toml::table*>>> hosts_in_order(const toml::table& root) {
  TableReader reader(root, "");
  std::vector<std::pair<std::string, const toml::table*>> out;
  const toml::table* hosts = reader.table("host");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  if (hosts == nullptr) return out;
  if (hosts->size() > kMaxHosts) return invalid_argument(cat("\"host\": at most ", kMaxHosts, " are allowed"));
  for (const auto& [key, value] : *hosts) {
    if (!value.is_table() || key.str().empty() || key.str().size() > kMaxText)
      return invalid_argument(cat("host ", in_quotes(key.str()), ": expected a table named by a URL"));
    out.emplace_back(key.str(), value.as_table());
  }
  std::ranges::sort(out, [](const auto& a, const auto& b) {
    const toml::source_position first = a.second->source().begin;
    const toml::source_position second = b.second->source().begin;
    return std::pair(first.line, first.column) < std::pair(second.line, second.column);
  });
  return out;
}

}  // namespace

Result<std::vector<HostEntry>> parse_hosts_file(std::string_view text) {
  if (text.size() > kMaxFile) return invalid_argument(cat(text.size(), " bytes, at most ", kMaxFile, " are allowed"));
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return invalid_argument(
        cat("line ", parsed.error().source().begin.line, ": ", as_utf8(parsed.error().description(), 300)));
  }
  const toml::table& root = parsed.table();
  auto hosts = hosts_in_order(root);
  if (!hosts) return std::unexpected(std::move(hosts.error()));
  std::vector<HostEntry> out;
  for (const auto& [url, table] : *hosts) {
    auto entry = read_entry(*table, url, false);
    if (!entry) return std::unexpected(std::move(entry.error()));
    out.push_back(std::move(*entry));
  }
  TableReader reader(root, "");
  std::string server = reader.text("server");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  auto entry = read_entry(root, std::move(server), true);
  if (!entry) return std::unexpected(std::move(entry.error()));
  out.push_back(std::move(*entry));
  return out;
}

}  // namespace gantry::images
