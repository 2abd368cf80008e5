// released_ptr<T>: a holder for a class_<> whose C++ destructor blocks.
#pragma once

#include <handoff/gil/release.hpp>

#include <memory>

namespace handoff {

/// A deleter that releases the GIL while the destructor runs.
///
///     std::shared_ptr<pool>(new pool(job), handoff::delete_without_gil());
///
/// Members of the object that are Python objects must be in a gil_owned<T>.
///
/// GIL: any; the same on return.
struct delete_without_gil {
    template <class T>
    void operator()(T* object) const {
        gil_release while_destroying;
        delete object;
    }
};

/// Holds a C++ object whose destructor joins a thread, or waits in another way, and whose class
/// cannot be changed. Python's last reference destroys it with the GIL released, so the joined
/// thread can take the GIL.
///
///     class_<pool, handoff::released_ptr<pool>, boost::noncopyable>("Pool", init<job>());
///
/// The members are destroyed without the GIL as well. Those that are Python objects must be in a
/// gil_owned<T>.
///
/// Python may drop that reference anywhere, also in a garbage collection while the thread holds a
/// mutex. The destructor then waits with that mutex held: neither the joined threads nor a thread
/// that holds the GIL may wait for it.
template <class T>
class released_ptr {
public:
    using element_type = T;

    explicit released_ptr(T* owned) : owner_(owned, delete_without_gil()) {}

    /// For Boost.Python, which looks for it here.
    friend T* get_pointer(released_ptr const& owner) noexcept { return owner.owner_.get(); }

private:
    std::shared_ptr<T> owner_;  // Boost.Python copies what holds an object
};

}  // namespace handoff
