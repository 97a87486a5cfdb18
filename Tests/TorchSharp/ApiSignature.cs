using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>Prints types and members as the list of TorchSharp's API has them, one line each; nullability of references is left out.</summary>
internal static class ApiSignature
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static
        | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(bool)] = "bool",
        [typeof(byte)] = "byte",
        [typeof(sbyte)] = "sbyte",
        [typeof(short)] = "short",
        [typeof(ushort)] = "ushort",
        [typeof(int)] = "int",
        [typeof(uint)] = "uint",
        [typeof(long)] = "long",
        [typeof(ulong)] = "ulong",
        [typeof(float)] = "float",
        [typeof(double)] = "double",
        [typeof(decimal)] = "decimal",
        [typeof(char)] = "char",
        [typeof(string)] = "string",
        [typeof(object)] = "object",
        [typeof(void)] = "void",
    };

    /// <summary>Whether code outside the assembly sees the type.</summary>
    public static bool IsVisible(Type type) => type.IsNested
        ? IsVisible(type.DeclaringType!) && (type.IsNestedPublic || type.IsNestedFamily || type.IsNestedFamORAssem)
        : type.IsPublic;

    /// <summary>A type's own line, without what it derives from: <c>public sealed class N.Name&lt;T&gt; where T : unmanaged</c>.</summary>
    public static string Header(Type type)
    {
        string access = type.IsNestedFamily || type.IsNestedFamORAssem ? "protected" : "public";
        string kind = type switch
        {
            { IsEnum: true } => "enum",
            { IsInterface: true } => "interface",
            { IsValueType: true } => "struct",
            { IsAbstract: true, IsSealed: true } => "static class",
            { IsAbstract: true } => "abstract class",
            { IsSealed: true } => "sealed class",
            _ => "class",
        };
        return $"{access} {kind} {Name(type)}{Constraints(type.GetGenericArguments())}";
    }

    /// <summary>The lines of what a type declares itself and code outside the assembly sees.</summary>
    public static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum)
        {
            return type.GetFields(BindingFlags.Public | BindingFlags.Static)
                .Select(field => $"enum-member {Name(type)}.{field.Name} = {Convert.ToString(field.GetRawConstantValue(), CultureInfo.InvariantCulture)}");
        }

        return type.GetConstructors(Declared).Where(constructor => !constructor.IsStatic).Select(Line)
            .Concat(type.GetFields(Declared).Select(Line))
            .Concat(type.GetProperties(Declared).Select(Line))
            .Concat(type.GetEvents(Declared).Select(entry => $"event {Name(type)}.{entry.Name}"))
            .Concat(type.GetMethods(Declared).Where(IsOwnMethod).Select(Line))
            .OfType<string>();
    }

    /// <summary>A type's name as the list writes it: C# keywords, tuples with their names, <c>T?</c> for nullable values.</summary>
    public static string Name(Type type) => Name(type, new Queue<string?>());

    private static string Name(Type type, Queue<string?> tupleNames)
    {
        if (type.IsByRef)
        {
            return Name(type.GetElementType()!, tupleNames);
        }

        if (type.IsArray)
        {
            return $"{Name(type.GetElementType()!, tupleNames)}[{new string(',', type.GetArrayRank() - 1)}]";
        }

        if (Nullable.GetUnderlyingType(type) is { } value)
        {
            return Name(value, tupleNames) + "?";
        }

        return Keywords.GetValueOrDefault(type)
            ?? (type.IsGenericParameter ? type.Name : null)
            ?? (type.IsConstructedGenericType && type.IsAssignableTo(typeof(ITuple)) && type.IsValueType ? Tuple(type, tupleNames) : null)
            ?? Nested(type, type.GetGenericArguments(), tupleNames);
    }

    // The names of all tuples in a type come in one row: those of the outer one, then those of its parts.
    private static string Tuple(Type type, Queue<string?> names)
    {
        Type[] parts = type.GetGenericArguments();
        string?[] own = [.. parts.Select(_ => names.TryDequeue(out string? name) ? name : null)];
        return $"({string.Join(", ", parts.Select((part, k) => own[k] is { } name ? $"{Name(part, names)} {name}" : Name(part, names)))})";
    }

    private static string Nested(Type type, Type[] arguments, Queue<string?> tupleNames)
    {
        int outer = type.DeclaringType?.GetGenericArguments().Length ?? 0;
        string place = type.DeclaringType is { } declaring ? Nested(declaring, arguments[..outer], tupleNames) : type.Namespace ?? "";
        string name = type.Name.Split('`')[0];
        Type[] own = arguments[outer..];
        string generics = own.Length > 0 ? $"<{string.Join(", ", own.Select(argument => Name(argument, tupleNames)))}>" : "";
        return place.Length > 0 ? $"{place}.{name}{generics}" : name + generics;
    }

    private static string Name(Type type, ICustomAttributeProvider place)
    {
        object[] named = place.GetCustomAttributes(typeof(TupleElementNamesAttribute), false);
        return Name(type, new Queue<string?>(named is [TupleElementNamesAttribute names] ? names.TransformNames : []));
    }

    private static string Constraints(Type[] parameters) => string.Concat(parameters.Select(parameter =>
    {
        GenericParameterAttributes attributes = parameter.GenericParameterAttributes;
        bool value = attributes.HasFlag(GenericParameterAttributes.NotNullableValueTypeConstraint);
        bool unmanaged = parameter.GetCustomAttributesData().Any(entry => entry.AttributeType.Name == "IsUnmanagedAttribute");
        string[] constraints =
        [
            .. attributes.HasFlag(GenericParameterAttributes.ReferenceTypeConstraint) ? ["class"] : Array.Empty<string>(),
            .. unmanaged ? ["unmanaged"] : value ? ["struct"] : Array.Empty<string>(),
            .. parameter.GetGenericParameterConstraints().Where(type => type != typeof(ValueType)).Select(Name),
            .. !value && attributes.HasFlag(GenericParameterAttributes.DefaultConstructorConstraint) ? ["new()"] : Array.Empty<string>(),
        ];
        return constraints.Length > 0 ? $" where {parameter.Name} : {string.Join(", ", constraints)}" : "";
    }));

    // Accessors belong to their property; the list has no finalisers.
    private static bool IsOwnMethod(MethodInfo method)
        => method.Name != "Finalize" && (!method.IsSpecialName || method.Name.StartsWith("op_", StringComparison.Ordinal));

    private static string? Access(MethodBase? method) => method switch
    {
        { IsPublic: true } => "public",
        { IsFamily: true } or { IsFamilyOrAssembly: true } => "protected",
        _ => null,
    };

    private static string Modifier(MethodInfo method)
    {
        bool isOverride = method.GetBaseDefinition() != method;
        return method switch
        {
            { IsStatic: true } => " static",
            { DeclaringType.IsInterface: true } => "",
            { IsAbstract: true } => isOverride ? " abstract override" : " abstract",
            { IsVirtual: true } when isOverride => " override",
            { IsVirtual: true, IsFinal: false } => " virtual",
            _ => "",
        };
    }

    private static string? Line(ConstructorInfo constructor) => Access(constructor) is { } access
        ? $"{access} ctor {Name(constructor.DeclaringType!)}({Parameters(constructor)})"
        : null;

    private static string? Line(FieldInfo field)
    {
        string? access = field.IsPublic ? "public" : field.IsFamily || field.IsFamilyOrAssembly ? "protected" : null;
        string modifier = field.IsLiteral ? " const" : (field.IsStatic ? " static" : "") + (field.IsInitOnly ? " readonly" : "");
        string value = field.IsLiteral ? $" = {Constant(field.FieldType, field.GetRawConstantValue())}" : "";
        return access is null ? null : $"{access}{modifier} {Name(field.FieldType, field)} {Name(field.DeclaringType!)}.{field.Name}{value}";
    }

    private static string? Line(PropertyInfo property)
    {
        MethodInfo main = (property.GetMethod is { } getter && Access(getter) is not null ? getter : property.SetMethod ?? property.GetMethod)!;
        if (Access(main) is not { } access)
        {
            return null;
        }

        ParameterInfo[] indices = property.GetIndexParameters();
        string name = indices.Length > 0 ? $"this[{string.Join(", ", indices.Select(Text))}]" : property.Name;
        string accessors = string.Concat(new[] { (property.GetMethod, "get; "), (property.SetMethod, "set; ") }
            .Where(entry => Access(entry.Item1) is not null)
            .Select(entry => (Access(entry.Item1) == access ? "" : Access(entry.Item1) + " ") + entry.Item2));
        return $"{access}{Modifier(main)} property {Name(property.PropertyType, property)} {Name(property.DeclaringType!)}.{name} {{ {accessors}}}";
    }

    private static string? Line(MethodInfo method)
    {
        if (Access(method) is not { } access)
        {
            return null;
        }

        string extension = method.IsDefined(typeof(ExtensionAttribute), false) ? " extension" : "";
        string name = (method.IsSpecialName ? "operator " : "") + method.Name;
        Type[] generics = method.GetGenericArguments();
        string arguments = generics.Length > 0 ? $"<{string.Join(", ", generics.Select(Name))}>" : "";
        return $"{access}{Modifier(method)}{extension} {Name(method.ReturnType, method.ReturnParameter)} "
            + $"{Name(method.DeclaringType!)}.{name}{arguments}({Parameters(method)}){Constraints(generics)}";
    }

    private static string Parameters(MethodBase method)
    {
        string text = string.Join(", ", method.GetParameters().Select(Text));
        return method.IsDefined(typeof(ExtensionAttribute), false) ? "this " + text : text;
    }

    private static string Text(ParameterInfo parameter)
    {
        string passing = parameter switch
        {
            { IsOut: true } => "out ",
            { IsIn: true, ParameterType.IsByRef: true } => "in ",
            { ParameterType.IsByRef: true } => "ref ",
            _ when parameter.IsDefined(typeof(ParamArrayAttribute), false) || parameter.IsDefined(typeof(ParamCollectionAttribute), false) => "params ",
            _ => "",
        };
        string value = parameter.HasDefaultValue ? $" = {Constant(parameter.ParameterType, parameter.RawDefaultValue)}" : "";
        return $"{passing}{Name(parameter.ParameterType, parameter)} {parameter.Name}{value}";
    }

    private static string Constant(Type type, object? value)
    {
        Type inner = Nullable.GetUnderlyingType(type) ?? type;
        return value switch
        {
            null => type.IsValueType && inner == type ? "default" : "null",
            bool truth => truth ? "true" : "false",
            string text => $"\"{text}\"",
            float number => number.ToString(CultureInfo.InvariantCulture) + "f",
            _ when inner.IsEnum => $"{Name(inner)}.{Enum.GetName(inner, Enum.ToObject(inner, value))}",
            _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
        };
    }
}
