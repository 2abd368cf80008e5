// python_error: a Python exception as a C++ one, readable without the GIL.
#pragma once

#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/shared.hpp>

#include <optional>
#include <stdexcept>
#include <string>

namespace handoff {

/// What Python code raised: in text, which may be read on any thread without the GIL, and the
/// exception itself, to raise it in Python again.
///
///     std::exception_ptr failure;                       // on a worker
///     try { step(); } catch (handoff::python_error const&) { failure = std::current_exception(); }
///
///     std::rethrow_exception(failure);                  // on the thread that waits for it
///
/// It may be kept, copied, thrown on and dropped on any thread: in a std::exception_ptr, a
/// std::promise. It keeps the exception, and with its traceback the frames' variables, until its
/// last copy goes. A Boost.Python function that it leaves raises the same exception again where
/// translate_python_errors() was called, as HANDOFF_PYTHON_MODULE does.
///
/// Needs no Boost. A module catches what another module or the host throws.
class [[gnu::visibility("default")]] python_error : public std::runtime_error {
public:
    /// Takes the Python error that is set in this thread, and clears it. Where none is set, the
    /// result says so: its type is SystemError.
    ///
    /// It calls str(exception) twice at most. Where that calls C++ code which fetches an error
    /// too, the inner one is asked once, and its traceback shows no causes.
    /// A method that the exception's class overrides may raise, or return anything: then its part
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
    /// Where Python's module traceback fails, the frames, the type and the message alone.
    [[nodiscard]] std::string const& traceback() const noexcept { return traceback_; }

    /// For SystemExit: what python3 would give to exit(), of which the system keeps the lowest
    /// eight bits (sys.exit("text"): 1, and the text is the message). Nothing for any other
    /// exception.
    [[nodiscard]] std::optional<int> exit_code() const noexcept { return exit_code_; }

    /// Sets the Python exception as the calling thread's error: the same object, its traceback
    /// kept, to which Python adds. What was set before is replaced. Where it is the exception of a
    /// Python that has ended, and another has begun, a RuntimeError with its text.
    /// GIL: held.
    void restore() const noexcept;

    /// Tells of it who looks after what nobody catches: sys.unraisablehook; where Python does not
    /// let the thread in any more, stderr. An error that is set stays so.
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

/// What is thrown where C++ code needs Python, and Python has not begun, is ending or has ended.
class [[gnu::visibility("default")]] no_python : public std::runtime_error {
public:
    /// `wanted`: what cannot be done, as "handoff::callback cannot be called".
    explicit no_python(std::string const& wanted);
};

}  // namespace handoff
