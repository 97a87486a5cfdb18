using System.Collections.Immutable;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>A method of an assembly, as <c>Type.Name(Parameter, …)</c>, and those that its IL calls or takes the address of.</summary>
internal sealed record CompiledMethod(string Name, IReadOnlySet<string> Calls)
{
    public static IEnumerable<CompiledMethod> Of(string assembly)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        MetadataReader metadata = file.GetMetadataReader();
        var names = new Names(metadata);
        foreach (MethodDefinitionHandle handle in metadata.MethodDefinitions)
        {
            int address = metadata.GetMethodDefinition(handle).RelativeVirtualAddress;
            byte[] code = address == 0 ? [] : file.GetMethodBody(address).GetILBytes()!;
            IEnumerable<string> calls = Tokens(code).Select(token => names.Of(MetadataTokens.EntityHandle(token))).OfType<string>();
            yield return new CompiledMethod(names.Of(handle)!, calls.ToHashSet());
        }
    }

    // Operands and instructions are not distinguished: a call too many may appear; none is missed.
    private static IEnumerable<int> Tokens(byte[] code)
        => Enumerable.Range(0, Math.Max(0, code.Length - 4)).Where(at => CallsAt(code, at)).Select(at => BitConverter.ToInt32(code, at + 1))
            .Where(token => (token >>> 24) is 0x06 or 0x0A or 0x2B); // MethodDef, MemberRef, MethodSpec

    // call, callvirt, newobj; ldftn, ldvirtftn.
    private static bool CallsAt(byte[] code, int at)
        => code[at] is 0x28 or 0x6F or 0x73 || (code[at] is 0x06 or 0x07 && at > 0 && code[at - 1] == 0xFE);

    /// <summary>Names of methods and types; generic types without their arguments, nested ones without what they are nested in.</summary>
    private sealed class Names(MetadataReader metadata) : ISignatureTypeProvider<string, object?>
    {
        /// <summary>Null for what is no method.</summary>
        public string? Of(EntityHandle method)
        {
            switch (method.Kind)
            {
                case HandleKind.MethodSpecification when Has(method, TableIndex.MethodSpec):
                    return Of(metadata.GetMethodSpecification((MethodSpecificationHandle)method).Method);
                case HandleKind.MethodDefinition when Has(method, TableIndex.MethodDef):
                    MethodDefinition own = metadata.GetMethodDefinition((MethodDefinitionHandle)method);
                    return Text(TypeOf(own.GetDeclaringType()), own.Name, own.DecodeSignature(this, null));
                case HandleKind.MemberReference when Has(method, TableIndex.MemberRef):
                    MemberReference other = metadata.GetMemberReference((MemberReferenceHandle)method);
                    return other.GetKind() == MemberReferenceKind.Method
                        ? Text(TypeOf(other.Parent), other.Name, other.DecodeMethodSignature(this, null)) : null;
                default:
                    return null;
            }
        }

        private bool Has(EntityHandle handle, TableIndex table)
            => MetadataTokens.GetRowNumber(handle) is > 0 and var row && row <= metadata.GetTableRowCount(table);

        private string Text(string type, StringHandle name, MethodSignature<string> signature)
            => $"{type}.{metadata.GetString(name)}({string.Join(", ", signature.ParameterTypes)})";

        private string TypeOf(EntityHandle type) => type.Kind switch
        {
            HandleKind.TypeReference => GetTypeFromReference(metadata, (TypeReferenceHandle)type, 0),
            HandleKind.TypeDefinition => GetTypeFromDefinition(metadata, (TypeDefinitionHandle)type, 0),
            HandleKind.TypeSpecification => GetTypeFromSpecification(metadata, null, (TypeSpecificationHandle)type, 0),
            _ => type.Kind.ToString(),
        };

        public string GetTypeFromDefinition(MetadataReader reader, TypeDefinitionHandle handle, byte rawTypeKind)
            => reader.GetString(reader.GetTypeDefinition(handle).Name);

        public string GetTypeFromReference(MetadataReader reader, TypeReferenceHandle handle, byte rawTypeKind)
            => reader.GetString(reader.GetTypeReference(handle).Name);

        public string GetTypeFromSpecification(
            MetadataReader reader, object? genericContext, TypeSpecificationHandle handle, byte rawTypeKind)
            => reader.GetTypeSpecification(handle).DecodeSignature(this, genericContext);

        public string GetPrimitiveType(PrimitiveTypeCode typeCode) => typeCode.ToString();

        public string GetGenericInstantiation(string genericType, ImmutableArray<string> typeArguments) => genericType;

        public string GetGenericMethodParameter(object? genericContext, int index) => $"!!{index}";

        public string GetGenericTypeParameter(object? genericContext, int index) => $"!{index}";

        public string GetSZArrayType(string elementType) => elementType + "[]";

        public string GetArrayType(string elementType, ArrayShape shape) => elementType + "[,]";

        public string GetByReferenceType(string elementType) => elementType + "&";

        public string GetPointerType(string elementType) => elementType + "*";

        public string GetFunctionPointerType(MethodSignature<string> signature) => "function";

        public string GetModifiedType(string modifier, string unmodifiedType, bool isRequired) => unmodifiedType;

        public string GetPinnedType(string elementType) => elementType;
    }
}
