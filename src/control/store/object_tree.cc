// SPDX-License-Identifier: Apache-2.0
#include "control/store/object_tree.h"

#include <utility>

namespace gantry::control {

struct ObjectTree::Node {
  NodePtr left;
  NodePtr right;
  ObjectPtr object;
  std::size_t size;
};

namespace {

using Node = ObjectTree::Node;
using NodePtr = ObjectTree::NodePtr;

// A part is at most so many times as large as its neighbour; and which rotation mends it. These two numbers are among
// the few pairs for which both insertion and removal keep the balance (Hirai and Yamamoto, 2011).
constexpr std::size_t kDelta = 3;
constexpr std::size_t kGamma = 2;

std::size_t size_of(const NodePtr& node) { return node ? node->size : 0; }
std::size_t weight(const NodePtr& node) { return size_of(node) + 1; }

NodePtr make(NodePtr left, ObjectPtr object, NodePtr right) {
  std::size_t size = size_of(left) + size_of(right) + 1;
  return std::make_shared<const Node>(Node{std::move(left), std::move(right), std::move(object), size});
}

// A node of two balanced parts, of which one may have become too large by one step.
NodePtr balance(const NodePtr& left, const ObjectPtr& object, const NodePtr& right) {
  if (weight(right) > kDelta * weight(left)) {
    if (weight(right->left) < kGamma * weight(right->right)) {
      return make(make(left, object, right->left), right->object, right->right);
    }
    const NodePtr& middle = right->left;
    return make(make(left, object, middle->left), middle->object, make(middle->right, right->object, right->right));
  }
  if (weight(left) > kDelta * weight(right)) {
    if (weight(left->right) < kGamma * weight(left->left)) {
      return make(left->left, left->object, make(left->right, object, right));
    }
    const NodePtr& middle = left->right;
    return make(make(left->left, left->object, middle->left), middle->object, make(middle->right, object, right));
  }
  return make(left, object, right);
}

NodePtr inserted(const NodePtr& node, ObjectPtr object) {
  if (!node) return make(nullptr, std::move(object), nullptr);
  int order = object->key().compare(node->object->key());
  if (order < 0) return balance(inserted(node->left, std::move(object)), node->object, node->right);
  if (order > 0) return balance(node->left, node->object, inserted(node->right, std::move(object)));
  return make(node->left, std::move(object), node->right);
}

NodePtr without_first(const NodePtr& node, ObjectPtr& first) {
  if (!node->left) {
    first = node->object;
    return node->right;
  }
  return balance(without_first(node->left, first), node->object, node->right);
}

NodePtr erased(const NodePtr& node, std::string_view key) {
  if (!node) return nullptr;
  int order = key.compare(node->object->key());
  if (order < 0) return balance(erased(node->left, key), node->object, node->right);
  if (order > 0) return balance(node->left, node->object, erased(node->right, key));
  if (!node->left) return node->right;
  if (!node->right) return node->left;
  ObjectPtr next;
  NodePtr right = without_first(node->right, next);
  return balance(node->left, next, right);
}

NodePtr built(const std::vector<ObjectPtr>& objects, std::size_t begin, std::size_t end) {
  if (begin == end) return nullptr;
  std::size_t middle = begin + (end - begin) / 2;
  return make(built(objects, begin, middle), objects[middle], built(objects, middle + 1, end));
}

bool visited(const NodePtr& node, std::string_view from, std::string_view end,
             const std::function<bool(const ObjectPtr&)>& visit) {
  if (!node) return true;
  bool is_from = node->object->key() >= from;
  bool is_below = node->object->key() < end;
  if (is_from && !visited(node->left, from, end, visit)) return false;
  if (is_from && is_below && !visit(node->object)) return false;
  return !is_below || visited(node->right, from, end, visit);
}

}  // namespace

ObjectTree ObjectTree::from_sorted(const std::vector<ObjectPtr>& objects) {
  return ObjectTree(built(objects, 0, objects.size()));
}

std::size_t ObjectTree::size() const { return size_of(root_); }

ObjectPtr ObjectTree::find(std::string_view key) const {
  const Node* node = root_.get();
  while (node != nullptr) {
    int order = key.compare(node->object->key());
    if (order == 0) return node->object;
    node = (order < 0 ? node->left : node->right).get();
  }
  return nullptr;
}

ObjectTree ObjectTree::insert(ObjectPtr object) const { return ObjectTree(inserted(root_, std::move(object))); }

ObjectTree ObjectTree::erase(std::string_view key) const { return find(key) ? ObjectTree(erased(root_, key)) : *this; }

std::size_t ObjectTree::rank(std::string_view key) const {
  std::size_t below = 0;
  const Node* node = root_.get();
  while (node != nullptr) {
    if (key <= node->object->key()) {
      node = node->left.get();
    } else {
      below += size_of(node->left) + 1;
      node = node->right.get();
    }
  }
  return below;
}

void ObjectTree::visit(std::string_view from, std::string_view end,
                       const std::function<bool(const ObjectPtr&)>& visit) const {
  visited(root_, from, end, visit);
}

}  // namespace gantry::control
