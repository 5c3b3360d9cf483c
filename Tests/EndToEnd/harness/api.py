"""The messages and methods of etcd's v3 API, made at run time from the two tables in data/.

No .proto file, compiler or generated code: a row of api-messages.csv is a field, a row of api-services.csv
a method. `api.PutRequest(key=b"k")` is a message of package etcdserverpb; the other packages are reached
as `api.mvccpb.KeyValue`, `api.raftpb.Entry`.
"""

import collections
import csv
import pathlib
import types

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int32": _Field.TYPE_INT32, "int64": _Field.TYPE_INT64, "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64, "bool": _Field.TYPE_BOOL, "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
}


def _read(name):
    with open(DATA / name, newline="") as file:
        return list(csv.DictReader(file))


def _build_pool():
    """Groups the rows into files (a package and a syntax each), and the files into a pool."""
    kinds, members = {}, collections.defaultdict(list)
    for row in _read("api-messages.csv"):
        full = f'{row["package"]}.{row["message"]}'
        if row["number"] == "":
            kinds[full] = (row["package"], row["type"], row["label"])
        else:
            members[full].append(row)

    def resolve(package, scope, name):
        """A type's name as the table gives it, looked up from the message inwards to the root."""
        for candidate in (f"{package}.{scope}.{name}", f"{package}.{name}", name):
            if candidate in kinds:
                return candidate
        raise KeyError(f"{package}.{scope} uses an unknown type {name}")

    files, containers, needs = {}, {}, collections.defaultdict(set)

    def file_of(full):
        package, _, syntax = kinds[full]
        return f"{package}.{syntax}"

    def container(full):
        """The descriptor of a message, made where it belongs: in its file or in its outer message."""
        if full in containers:
            return containers[full]
        package, kind, syntax = kinds[full]
        name = full.rsplit(".", 1)[1]
        outer = full.rsplit(".", 1)[0]
        if outer in kinds:
            parent = container(outer)
            made = (parent.nested_type if kind == "message" else parent.enum_type).add(name=name)
        else:
            file = files.setdefault(f"{package}.{syntax}", descriptor_pb2.FileDescriptorProto(
                name=f"{package}.{syntax}", package=package, syntax=syntax))
            made = (file.message_type if kind == "message" else file.enum_type).add(name=name)
        containers[full] = made
        return made

    for full, (package, kind, syntax) in kinds.items():
        made = container(full)
        scope = full[len(package) + 1:]
        oneofs = {}
        for row in members[full]:
            if kind == "enum":
                made.value.add(name=row["name"], number=int(row["number"]))
                continue
            field = made.field.add(name=row["name"], number=int(row["number"]))
            field.label = _Field.LABEL_REPEATED if row["label"] == "repeated" else _Field.LABEL_OPTIONAL
            if row["label"].startswith("oneof "):
                union = row["label"].split()[1]
                if union not in oneofs:
                    oneofs[union] = len(oneofs)
                    made.oneof_decl.add(name=union)
                field.oneof_index = oneofs[union]
            if row["type"] in _SCALARS:
                field.type = _SCALARS[row["type"]]
            else:
                target = resolve(package, scope, row["type"])
                field.type = _Field.TYPE_MESSAGE if kinds[target][1] == "message" else _Field.TYPE_ENUM
                field.type_name = "." + target
                if file_of(target) != file_of(full):
                    needs[file_of(full)].add(file_of(target))

    # A message that only this table's readers of logs want would tie two files in a knot.
    pool, added = descriptor_pool.DescriptorPool(), set()

    def add(name, path=()):
        if name in added:
            return
        if name in path:
            raise ValueError(f"files need each other: {path + (name,)}")
        for other in sorted(needs[name]):
            add(other, path + (name,))
            files[name].dependency.append(other)
        added.add(name)
        pool.Add(files[name]) if hasattr(pool, "Add") else pool.AddSerializedFile(files[name].SerializeToString())

    for name in sorted(files):
        add(name)
    return pool, kinds


_pool, _kinds = _build_pool()

Method = collections.namedtuple("Method", "path kind request response")
METHODS = {}


def _publish():
    packages = collections.defaultdict(types.SimpleNamespace)
    for full, (package, kind, _) in _kinds.items():
        name = full[len(package) + 1:]
        if "." in name:
            continue
        if kind == "message":
            value = message_factory.GetMessageClass(_pool.FindMessageTypeByName(full))
        else:
            value = types.SimpleNamespace(**{v.name: v.number for v in _pool.FindEnumTypeByName(full).values})
        setattr(packages[package], name, value)
    for package, space in packages.items():
        globals()[package] = space
    for name, value in vars(packages["etcdserverpb"]).items():
        globals()[name] = value
    for row in _read("api-services.csv"):
        space = packages.get(row["package"])
        request, response = getattr(space, row["request"], None), getattr(space, row["response"], None)
        if request is not None and response is not None:
            METHODS[f'{row["service"]}.{row["method"]}'] = Method(row["path"], row["kind"], request, response)


_publish()
