// python_error: a Python exception as a C++ exception, readable without the GIL.
#pragma once

#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/shared.hpp>

#include <optional>
#include <stdexcept>
#include <string>

namespace handoff {

/// A Python exception in C++: its text, which any thread may read without the GIL, and the
/// exception itself, to raise it in Python again.
///
///     std::exception_ptr failure;                       // on a worker
///     try { step(); } catch (handoff::python_error const&) { failure = std::current_exception(); }
///
///     std::rethrow_exception(failure);                  // on the thread that waits for it
///
/// Any thread may keep it, copy it, throw it on and drop it, for example in a std::exception_ptr or
/// a std::promise. It keeps the exception, and with its traceback the variables of the frames,
/// until its last copy is destroyed. When it leaves a Boost.Python function, Python raises the same
/// exception again, if translate_python_errors() was called; HANDOFF_PYTHON_MODULE calls it.
///
/// Does not need Boost. A module can catch what another module or the host throws.
class [[gnu::visibility("default")]] python_error : public std::runtime_error {
public:
    /// Returns the Python error that is set in this thread, and clears it. If none is set, the
    /// result says so: its type is SystemError.
    ///
    /// It calls str(exception) at most twice. If that calls C++ code which fetches an error
    /// too, the inner exception's str() is called once, and its traceback shows no causes.
    /// A method that the exception's class overrides may raise, or return anything. Then its part
    /// of the text is replaced, and nothing else is lost.
    /// GIL:    held.
    /// Throws: std::bad_alloc, and nothing else.
    [[nodiscard]] static python_error fetch();

    /// The exception's class, with its module unless that is builtins: "ValueError",
    /// "json.decoder.JSONDecodeError".
    [[nodiscard]] std::string const& type() const noexcept { return type_; }

    /// str(exception). What UTF-8 cannot encode is escaped.
    [[nodiscard]] std::string const& message() const noexcept { return message_; }

    /// What python3 prints for it: "Traceback (most recent call last): ...", causes included.
    /// If Python's module traceback fails, only the frames, the type and the message.
    [[nodiscard]] std::string const& traceback() const noexcept { return traceback_; }

    /// For SystemExit: the number that python3 would pass to exit(), of which the system keeps the
    /// lowest eight bits (sys.exit("text"): 1, and the text is the message). Empty for any other
    /// exception.
    [[nodiscard]] std::optional<int> exit_code() const noexcept { return exit_code_; }

    /// Sets the exception as the calling thread's Python error: the same object with its traceback,
    /// to which Python adds. An error that was set before is replaced. If the exception is from a
    /// Python that has ended, and another has been started, sets a RuntimeError with its text.
    /// GIL: held.
    void restore() const noexcept;

    /// Reports it as an exception that nothing catches: to sys.unraisablehook, or to stderr if
    /// Python does not admit the thread any more. An error that is set stays set.
    /// GIL: any; the same on return. See gil_try_acquire.
    void report() const noexcept;

private:
    python_error(std::string type, std::string message, std::string traceback,
                 std::optional<int> exit_code, gil_shared<detail::reference> raised);

    std::string type_;
    std::string message_;
    std::string traceback_;
    std::optional<int> exit_code_;
    gil_shared<detail::reference> exception_;  // empty: there was none
};

/// Thrown when C++ code needs Python, and Python has not started, is ending or has ended.
class [[gnu::visibility("default")]] no_python : public std::runtime_error {
public:
    /// `wanted`: what cannot be done, for example "a callback cannot be called".
    explicit no_python(std::string const& wanted);
};

}  // namespace handoff
