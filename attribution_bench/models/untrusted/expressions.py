"""Texts in torch.export files that PyTorch evaluates as Python: sizes and conditions on sizes.

Each is taken apart, compared with the few forms that sizes have, and written anew, so that what PyTorch evaluates is
what was checked.
"""

import ast
import re

from attribution_bench.models.untrusted.refused import Refused, shown
from attribution_bench.models.untrusted.words import words

CHARACTERS = 10_000
"""Characters that an expression may have."""
BITS = 4_096
"""Binary digits that a number in an expression may come to: powers of powers would take any time and memory."""
FUNCTIONS = words(
    """
    Integer Rational Float Add Mul Pow Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv ModularIndexing
    IntTrueDiv FloatTrueDiv FloatPow PowByNatural ToFloat TruncToFloat TruncToInt CeilToInt FloorToInt RoundToInt
    Identity Where And Or Not Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan
    Eq Ne Lt Le Gt Ge
    """
)
"""What sizes are made of besides symbols."""
SYMBOL = re.compile(r"[a-z]\w{0,3}\d+")
ASSUMPTION = re.compile(r"[a-z_]+")
REAL = re.compile(r"-?\d{1,60}(\.\d{0,60})?(e[+-]?\d{1,3})?")
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub, ast.UAdd)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
MEASURES = frozenset({"size", "stride", "storage_offset"})
"""Methods of an input that conditions may call, without arguments."""
KEY = re.compile(r"[\w.\-/ :;,+*@#%&|=<>()\[\]]{1,200}")


def size_expression(text: object) -> str:
    """Return a size, such as ``Add(Symbol('s0', integer=True), Integer(1))``, as PyTorch may evaluate it."""
    tree = _parsed(text)
    _check(tree, conditions=False)
    _bits(tree)
    return ast.unparse(tree)


def condition(text: object) -> str:
    """Return a condition on inputs, such as ``L['x'].size()[2] >= 8``, as PyTorch may evaluate it."""
    tree = _parsed(text)
    _check(tree, conditions=True)
    _bits(tree)
    return ast.unparse(tree)


def _parsed(text: object) -> ast.expr:
    if not isinstance(text, str) or len(text) > CHARACTERS:
        raise Refused(f"it holds the expression {shown(text)}, which is no size; it is not evaluated")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _no_size(text) from error


def _no_size(expression: object) -> Refused:
    text = ast.unparse(expression) if isinstance(expression, ast.AST) else expression
    return Refused(f"it holds the expression {shown(text)}, which is no size; it is not evaluated")


def _check(node: ast.expr, conditions: bool) -> None:
    """Refuse an expression that is not made of numbers, symbols or inputs, arithmetic and comparisons."""
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return
        case ast.Name(id=name) if not conditions and (SYMBOL.fullmatch(name) or name in ("true", "false")):
            return
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))]) if SYMBOL.fullmatch(name):
            if not all(
                ASSUMPTION.fullmatch(word.arg or "")
                and isinstance(word.value, ast.Constant)
                and isinstance(word.value.value, bool)
                for word in node.keywords
            ):
                raise _no_size(node)
        case ast.Call(func=ast.Name(id="Float"), args=[ast.Constant(value=str(digits))]) if REAL.fullmatch(digits):
            if not all(
                word.arg == "precision" and isinstance(word.value, ast.Constant) and word.value.value in range(1, 200)
                for word in node.keywords
            ):
                raise _no_size(node)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            for argument in arguments:
                _check(argument, conditions)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, OPERATORS):
            _check(left, conditions)
            _check(right, conditions)
        case ast.UnaryOp(op=operator, operand=operand) if isinstance(operator, (*OPERATORS, ast.Not)):
            _check(operand, conditions)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, conditions)
        case ast.Compare(left=left, ops=operators, comparators=others):
            if not all(isinstance(operator, COMPARISONS) for operator in operators):
                raise _no_size(node)
            for value in (left, *others):
                _check(value, conditions)
        case ast.Subscript() | ast.Call() if conditions and _measures_an_input(node):
            return
        case _:
            raise _no_size(node)


def _measures_an_input(node: ast.expr) -> bool:
    """Whether an expression is ``L['name']``, perhaps with further keys, ``.size()[0]`` or the like."""
    match node:
        case ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=str(key))):
            return bool(KEY.fullmatch(key))
        case ast.Subscript(value=value, slice=ast.Constant(value=int())):
            return _measures_an_input(value)
        case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
            return bool(KEY.fullmatch(key)) and _measures_an_input(value)
        case ast.Call(func=ast.Attribute(value=value, attr=method), args=[], keywords=[]) if method in MEASURES:
            return _measures_an_input(value)
    return False


def _bits(node: ast.AST) -> int:
    """Return a bound of the binary digits of every number that a checked expression comes to."""
    match node:
        case ast.Constant(value=int(value)):
            bits = value.bit_length() + 1
        case ast.Call(func=ast.Name(id="Pow" | "FloatPow" | "PowByNatural"), args=[base, exponent]):
            bits = _power(base, exponent)
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            bits = _power(base, exponent)
        case _:
            # A symbol is a size, of at most 64 binary digits. Sums and products have no more than their parts together.
            bits = 64 + sum(_bits(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    if bits > BITS:
        raise Refused(f"it holds the expression {shown(ast.unparse(node))}, which comes to too large a number")
    return bits


def _power(base: ast.expr, exponent: ast.expr) -> int:
    """Return the binary digits of a power, whose exponent must be a small number that is written out."""
    match exponent:
        case ast.Call(func=ast.Name(id="Integer" | "Rational"), args=[value, *_]):
            return _power(base, value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _power(base, operand)
        case ast.Constant(value=int(value)) if 0 <= value <= 64:
            return max(value, 1) * _bits(base)
    raise Refused("it holds a power whose exponent is no small number")
