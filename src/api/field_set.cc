// SPDX-License-Identifier: Apache-2.0
#include "api/field_set.h"

#include <algorithm>
#include <charconv>

#include "api/json.h"
#include "api/text.h"

namespace gantry::api {

namespace {

// An object that stands for a path element's key: small, and parsed once for each entry.
constexpr ParseLimits kElementLimits = {.bytes = 64 << 10, .depth = 8, .nodes = 1000};

int rank(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kInteger:
    case Value::Kind::kNumber:
      return 0;
    case Value::Kind::kString:
      return 1;
    case Value::Kind::kBool:
      return 2;
    case Value::Kind::kList:
      return 3;
    case Value::Kind::kObject:
      return 4;
    case Value::Kind::kNull:
      return 5;
  }
  return 5;
}

std::weak_ordering compare(const Value& a, const Value& b) {
  if (rank(a) != rank(b)) return rank(a) <=> rank(b);
  switch (rank(a)) {
    case 0: {
      const auto left = a.as_int64();
      const auto right = b.as_int64();
      if (left && right) return *left <=> *right;
      const double x = *a.as_double();
      const double y = *b.as_double();
      return x < y ? std::weak_ordering::less : x > y ? std::weak_ordering::greater : std::weak_ordering::equivalent;
    }
    case 1:
      return *a.as_string() <=> *b.as_string();
    case 2:
      return static_cast<int>(*a.as_bool()) <=> static_cast<int>(*b.as_bool());
    case 5:
      return std::weak_ordering::equivalent;
    default:
      return write_json(a) <=> write_json(b);
  }
}

std::string shown(const Value& value) { return write_json(value); }

}  // namespace

PathElement PathElement::field(std::string_view name) {
  PathElement element;
  element.name_ = name;
  return element;
}

PathElement PathElement::key(Key key) {
  PathElement element;
  element.kind_ = Kind::kKey;
  element.key_ = std::move(key);
  std::ranges::sort(element.key_, {}, [](const auto& pair) -> const std::string& { return pair.first; });
  return element;
}

PathElement PathElement::value(Value value) {
  PathElement element;
  element.kind_ = Kind::kValue;
  element.key_.emplace_back(std::string(), std::move(value));
  return element;
}

PathElement PathElement::index(int64_t index) {
  PathElement element;
  element.kind_ = Kind::kIndex;
  element.key_.emplace_back(std::string(), Value(index));
  return element;
}

Result<PathElement> PathElement::parse(std::string_view text) {
  if (text.size() < 2 || text[1] != ':') return invalid_argument(cat("missing colon: ", quoted(text)));
  const std::string_view rest = text.substr(2);
  if (text[0] == 'f') return field(rest);
  if (text[0] == 'i') {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || end != rest.data() + rest.size()) {
      return invalid_argument(cat("no index: ", quoted(text)));
    }
    return index(number);
  }
  if (text[0] != 'k' && text[0] != 'v') return fail(Code::kUnimplemented, "unknown path element type");
  Result<Value> parsed = parse_json(rest, kElementLimits);
  if (!parsed) return fail_with(parsed.error(), cat("path element ", quoted(text)));
  if (text[0] == 'v') return value(std::move(*parsed));
  if (!parsed->is_object()) return invalid_argument(cat("a key is an object, found ", quoted(text)));
  Key pairs;
  for (Value::Member& member : *parsed->as_object()) {
    pairs.emplace_back(std::move(member.key), std::move(member.value));
  }
  return key(std::move(pairs));
}

std::string PathElement::text() const {
  switch (kind_) {
    case Kind::kField:
      return cat("f:", name_);
    case Kind::kValue:
      return cat("v:", write_json(key_[0].second));
    case Kind::kIndex:
      return cat("i:", write_json(key_[0].second));
    case Kind::kKey:
      break;
  }
  Value::Object object;
  for (const auto& [name, content] : key_) object.emplace_back(name, content);
  return cat("k:", write_json(Value(std::move(object))));
}

std::string PathElement::to_string() const {
  switch (kind_) {
    case Kind::kField:
      return cat('.', name_);
    case Kind::kValue:
      return cat("[=", shown(key_[0].second), ']');
    case Kind::kIndex:
      return cat('[', shown(key_[0].second), ']');
    case Kind::kKey:
      break;
  }
  std::string out = "[";
  for (const auto& [name, content] : key_) out += cat(out.size() > 1 ? "," : "", name, '=', shown(content));
  return out + ']';
}

std::weak_ordering operator<=>(const PathElement& a, const PathElement& b) {
  if (a.kind_ != b.kind_) return a.kind_ <=> b.kind_;
  if (a.kind_ == PathElement::Kind::kField) return a.name_ <=> b.name_;
  for (size_t i = 0; i < a.key_.size() && i < b.key_.size(); ++i) {
    if (const auto order = a.key_[i].first <=> b.key_[i].first; order != 0) return order;
    if (const auto order = compare(a.key_[i].second, b.key_[i].second); order != 0) return order;
  }
  return a.key_.size() <=> b.key_.size();
}

FieldPath field_path(const std::vector<std::string>& names) {
  FieldPath path;
  for (const std::string& name : names) path.push_back(PathElement::field(name));
  return path;
}

std::string to_string(const FieldPath& path) {
  std::string out;
  for (const PathElement& element : path) out += element.to_string();
  return out;
}

FieldSet::FieldSet() = default;
FieldSet::FieldSet(const FieldSet& other) = default;
FieldSet::FieldSet(FieldSet&& other) noexcept = default;
FieldSet& FieldSet::operator=(const FieldSet& other) = default;
FieldSet& FieldSet::operator=(FieldSet&& other) noexcept = default;
FieldSet::~FieldSet() = default;

Result<FieldSet> FieldSet::from_value(const Value& fields) {
  FieldSet set;
  if (fields.is_null()) return set;
  if (!fields.is_object()) return invalid_argument(cat("fieldsV1 is an object, found ", describe(fields)));
  for (const Value::Member& member : *fields.as_object()) {
    if (member.key == ".") continue;
    Result<PathElement> element = PathElement::parse(member.key);
    if (!element) {
      if (element.error().is_not_supported()) continue;
      return std::unexpected(element.error());
    }
    Result<FieldSet> beneath = from_value(member.value);
    if (!beneath) return beneath;
    const bool self = beneath->empty() || member.value.find(".") != nullptr;
    set.add(*element, self, std::move(*beneath));
  }
  return set;
}

Value FieldSet::to_value() const {
  Value::Object out;
  for (const auto& [element, entry] : entries_) {
    Value beneath = entry.beneath.to_value();
    if (entry.member && !entry.beneath.empty()) {
      Value::Object& object = *beneath.as_object();
      object.insert(object.begin(), Value::Member(".", Value(Value::Object())));
    }
    out.emplace_back(element.text(), std::move(beneath));
  }
  return out;
}

FieldSet FieldSet::of(std::initializer_list<std::initializer_list<std::string_view>> paths) {
  FieldSet set;
  for (const auto& names : paths) {
    FieldPath path;
    for (const std::string_view name : names) path.push_back(PathElement::field(name));
    set.insert(path);
  }
  return set;
}

bool FieldSet::has(const PathElement& element) const {
  const auto found = entries_.find(element);
  return found != entries_.end() && found->second.member;
}

bool FieldSet::has(const FieldPath& path) const {
  const FieldSet* set = this;
  for (size_t i = 0; i + 1 < path.size() && set != nullptr; ++i) set = set->beneath(path[i]);
  return set != nullptr && !path.empty() && set->has(path.back());
}

const FieldSet* FieldSet::beneath(const PathElement& element) const {
  const auto found = entries_.find(element);
  return found == entries_.end() || found->second.beneath.empty() ? nullptr : &found->second.beneath;
}

void FieldSet::visit_members(FieldPath* path, const std::function<void(const FieldPath&)>& visit) const {
  for (const auto& [element, entry] : entries_) {
    if (!entry.member) continue;
    path->push_back(element);
    visit(*path);
    path->pop_back();
  }
  for (const auto& [element, entry] : entries_) {
    path->push_back(element);
    entry.beneath.visit_members(path, visit);
    path->pop_back();
  }
}

void FieldSet::for_each(const std::function<void(const FieldPath&)>& visit) const {
  FieldPath path;
  visit_members(&path, visit);
}

void FieldSet::insert(const FieldPath& path) {
  FieldSet* set = this;
  for (size_t i = 0; i < path.size(); ++i) {
    Entry& entry = set->entries_[path[i]];
    if (i + 1 == path.size()) entry.member = true;
    set = &entry.beneath;
  }
}

void FieldSet::add(const PathElement& element, bool member, FieldSet beneath) {
  if (!member && beneath.empty()) return;
  Entry& entry = entries_[element];
  entry.member = entry.member || member;
  entry.beneath = entry.beneath.empty() ? std::move(beneath) : entry.beneath.plus(beneath);
}

FieldSet FieldSet::plus(const FieldSet& other) const {
  FieldSet out = *this;
  for (const auto& [element, entry] : other.entries_) out.add(element, entry.member, entry.beneath);
  return out;
}

FieldSet FieldSet::minus(const FieldSet& other) const {
  FieldSet out;
  for (const auto& [element, entry] : entries_) {
    const auto found = other.entries_.find(element);
    if (found == other.entries_.end()) {
      out.entries_.emplace(element, entry);
      continue;
    }
    out.add(element, entry.member && !found->second.member, entry.beneath.minus(found->second.beneath));
  }
  return out;
}

FieldSet FieldSet::minus_whole(const FieldSet& other) const {
  FieldSet out;
  for (const auto& [element, entry] : entries_) {
    const auto found = other.entries_.find(element);
    if (found == other.entries_.end()) {
      out.entries_.emplace(element, entry);
    } else if (!found->second.member) {
      out.add(element, entry.member, entry.beneath.minus_whole(found->second.beneath));
    }
  }
  return out;
}

FieldSet FieldSet::common(const FieldSet& other) const {
  FieldSet out;
  for (const auto& [element, entry] : entries_) {
    const auto found = other.entries_.find(element);
    if (found == other.entries_.end()) continue;
    out.add(element, entry.member && found->second.member, entry.beneath.common(found->second.beneath));
  }
  return out;
}

bool operator==(const FieldSet& a, const FieldSet& b) {
  return std::ranges::equal(a.entries_, b.entries_, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.member == y.second.member && x.second.beneath == y.second.beneath;
  });
}

}  // namespace gantry::api
