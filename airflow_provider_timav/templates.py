"""Render the arguments of operators and the sensor safely if a DAG uses native objects.

With ``render_template_as_native_obj`` Jinja returns the object of an expression, and then reads every text as a literal of
Python: ``1_000`` becomes 1000, ``+8613800000000`` loses its sign, and a user ``None`` disappears. But the user whom the author
wrote must go on air. So an expression that stands alone gives its object, such as a list or a number, and a text stays a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import BaseOperator, Context

    _Base = BaseOperator
else:
    _Base = object

__all__ = ["TextStaysText"]


class TextStaysText(_Base):
    """Make an operator's rendering never read a text as a Python literal. Without native objects it is Airflow's own."""

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, except texts that would become native objects."""
        if isinstance(content, str):
            from jinja2.nativetypes import NativeEnvironment

            jinja_env = jinja_env or self.get_template_env()
            if isinstance(jinja_env, NativeEnvironment):
                return _native(jinja_env, content, context)
        return super().render_template(content, context, jinja_env, seen_oids)


def _native(env: jinja2.Environment, source: str, context: Any) -> Any:
    """Return the object of an expression that stands alone, and the text of any other template."""
    from jinja2 import Undefined, nodes

    alone = _alone(env.parse(source)) if env.finalize is None else None
    if alone is None:
        template = env.from_string(source)
    else:
        # A value that Jinja folds into a constant loses its type on the way out; a variable keeps it.
        kept = nodes.Assign(nodes.Name(_KEPT, "store"), alone, lineno=1)
        template = env.from_string(nodes.Template([kept], lineno=1))
    known = {**template.globals, **context}
    inner = env.context_class(env, known, template.name, template.blocks)
    try:
        pieces: list[Any] = list(template.root_render_func(inner))
        if alone is not None:
            pieces = [inner.vars[_KEPT]]
        if len(pieces) == 1 and not isinstance(pieces[0], str | Undefined):
            return pieces[0]
        return "".join(str(piece) for piece in pieces)
    except Exception:  # noqa: BLE001 - as in Jinja itself: the traceback then leads to the template
        env.handle_exception()


_KEPT = "timav_value"


def _alone(template: Any) -> Any:
    """Return the expression that makes up the whole template, or None."""
    from jinja2 import nodes

    if len(template.body) != 1 or not isinstance(template.body[0], nodes.Output) or len(template.body[0].nodes) != 1:
        return None
    (only,) = template.body[0].nodes
    return None if isinstance(only, nodes.TemplateData) else only
