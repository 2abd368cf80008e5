// log_delivery: the functions of delivery.py, called for one record after the other.
#pragma once

#include "log_record.hpp"
#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// GIL: held, for all of it.
class log_delivery {
public:
    /// Runs delivery.py. Returns: its global names; null with a Python error set.
    [[nodiscard]] static reference load() noexcept;

    explicit log_delivery(PyObject* names_of_delivery) noexcept;

    /// Returns: whether nothing raised; an exception goes to sys.unraisablehook.
    bool deliver(log_record const& record) noexcept;

    /// Flushes the streams that were written to.
    void flush() noexcept;

private:
    reference call(char const* function, PyObject* arguments) noexcept;

    PyObject* const names_;
    reference threads_;
    bool has_written_ = false;
};

}  // namespace handoff::detail
